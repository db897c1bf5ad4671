"""Align stage: find the rows that all data parties share, check them, and pin them for all later stages."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tombolo.agreements.parameters import TrainingParameters
from tombolo.fl_tasks.alignment import pair, ring
from tombolo.fl_tasks.alignment.messages import MESSAGES
from tombolo.fl_tasks.alignment.order import check_order, share_split
from tombolo.fl_tasks.models.family import Training
from tombolo.fl_tasks.models.part import Encodes
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.record import enter
from tombolo.fl_tasks.runtime.session import Progress, Session, log_progress
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.tables.columns import feature_columns, id_columns
from tombolo.fl_tasks.tables.ids import canonical_ids
from tombolo.fl_tasks.tables.prepared import Prepared, pinned, unpin_validated
from tombolo.fl_tasks.tables.source import read_table
from tombolo.fl_tasks.workflow.aligned import is_aligned, learnt_table, load_aligned, pin_prediction, pin_training, tableless
from tombolo.fl_tasks.workflow.parts import vertical_model_of
from tombolo.fl_tasks.workflow.state import ROW_SETS
from tombolo.storage.errors import CodedError
from tombolo.storage.roles import ARBITER, CLIENT, GUEST, HOLDERS


class TooFewCommon(CodedError):
    code = "TMB-ALIGN-011"
    cause = "The parties have fewer common ids than the agreed minimum."
    remedy = (
        "Check the id columns and their canonical form at all parties and start a new run, or agree on new terms with a smaller "
        "alignment.minimum_intersection."
    )


class RowSetsTooClose(CodedError):
    code = "TMB-ALIGN-012"
    cause = "The training rows differ in only a few from those of an earlier run; comparing the two models would expose these rows."
    remedy = (
        "Start a run on exactly the same rows as the earlier run, or wait until at least limits.minimum_row_difference rows have "
        "changed."
    )


class BadSplit(CodedError):
    code = "TMB-ALIGN-013"
    cause = "The split file cannot be used."
    remedy = "Give a Parquet or CSV file with the id columns and a column `set` that says train or test."


def align(context: PartyContext, run: str, wait: Wait, progress: Progress = log_progress) -> dict[str, Any]:
    """Take part in the alignment: pin the aligned rows, and delete the validated table, which is no longer needed.

    Returns ``{"rows", "train", "test"}`` (an empty dict where there is no table).
    In a horizontal agreement nothing is aligned: a client only chooses which of its own rows are held out, and sends no message.
    """
    many = sum(role in HOLDERS for role in context.roles.values()) > 2
    with context.session(run, MESSAGES, "align", wait, progress) as session:
        if tableless(context, run):
            if many and session.role == ARBITER:
                ring.arbiter(session)
            enter(context, run, "alignment", "rows")
            return {}
        if not is_aligned(context, run):
            if session.role == CLIENT or _own_users(context, run):
                _hold_out(context, session)
            else:
                _align(context, session, ring if many else pair)
        unpin_validated(context, run)
        aligned = load_aligned(context, run)
        test = int(aligned.test.sum())
        enter(context, run, "alignment", "rows", rows=len(aligned.test), test=test)
        session.report(rows=len(aligned.test), test=test)
        return {"rows": len(aligned.test), "train": len(aligned.test) - test, "test": test}


def _own_users(context: PartyContext, run: str) -> bool:
    """Whether this run predicts for all of this party's own users, also for those that no other party has."""
    return context.terms.task.descriptor.own_users and context.manifest(run).invitation.kind == "predict"


def _align(context: PartyContext, session: Session, protocol: Any) -> None:
    predicting = context.manifest(session.run).invitation.kind == "predict"
    least = 1 if predicting else session.terms.alignment.minimum_intersection
    prepared = pinned(context, session.run)
    rows = protocol.common_rows(session, prepared.ids, least)
    if len(rows) < least:
        raise TooFewCommon(f"There are {len(rows)}; at least {least} are agreed.", party=session.me)
    ids = [prepared.ids[at] for at in rows]
    table = prepared.table.take(pa.array(rows, pa.int64()))
    if predicting:
        check_order(session, ids)
        pin_prediction(context, session.run, table)
        return
    test = share_split(session, _split(context, session, ids) if session.role == GUEST else None, len(ids))
    mine = _row_set(context, session, [row_id for row_id, out in zip(ids, test, strict=True) if not out])
    own = _others(prepared, rows) if session.terms.task.descriptor.own_users else None
    learnt = learnt_table(table, test, own)
    columns = learnt.select(feature_columns(context, learnt.column_names))
    training = Training(context.terms, session.params, context.me)
    encoder: Encodes = vertical_model_of(context.terms.task).fit(training, columns, np.ones(len(learnt), dtype=bool))
    check_order(session, ids)  # a party sends its digest only after its checks: if one party fails, none keeps a row set
    session.state.keep(ROW_SETS.of(session.run), mine)
    pin_training(context, session.run, table, test, encoder, own)


def _others(prepared: Prepared, rows: list[int]) -> pa.Table:
    """The rows that are not at these positions."""
    mask = np.ones(len(prepared.ids), dtype=bool)
    mask[rows] = False
    return prepared.table.filter(pa.array(mask))


def _hold_out(context: PartyContext, session: Session) -> None:
    prepared = pinned(context, session.run)
    if context.manifest(session.run).invitation.kind == "predict":
        pin_prediction(context, session.run, prepared.table)
        return
    test = _split(context, session, prepared.ids)
    mine = _row_set(context, session, [row_id for row_id, out in zip(prepared.ids, test, strict=True) if not out])
    session.state.keep(ROW_SETS.of(session.run), mine)
    pin_training(context, session.run, prepared.table, test)


def _split(context: PartyContext, session: Session, ids: list[str]) -> npt.NDArray[np.bool_]:
    """The held-out rows: those of the split file, or a random part. The same ids give the same random part in every run."""
    given = context.agreement_settings.split
    if given is None:
        test = np.zeros(len(ids), dtype=bool)
        test[
            np.argsort(_hashes(context, ids, "split"))[: round(session.parameters(TrainingParameters).test_fraction * len(ids))]
        ] = True
        return test
    from tombolo.agreements.settings import TableSettings

    columns = id_columns(context)
    source = TableSettings(source="parquet" if given.endswith(".parquet") else "csv", path=given)
    table = read_table(source, context.party_settings.folder, {}, columns)
    if "set" not in table.column_names:
        raise BadSplit("The file has no column `set`.", party=context.me)
    sets = dict(zip(canonical_ids(table, context.terms.alignment, columns), table.column("set").to_pylist(), strict=True))
    unknown = sum(sets.get(row_id) not in ("train", "test") for row_id in ids)
    if unknown:
        raise BadSplit(f"{unknown} aligned ids are in neither set.", party=context.me)
    test = np.array([sets[row_id] == "test" for row_id in ids])
    if test.all():
        raise BadSplit("The file leaves no aligned row for training.", party=context.me)
    return test


def _row_set(context: PartyContext, session: Session, ids: list[str]) -> npt.NDArray[np.uint64]:
    """Keyed hashes of the training rows. Raises RowSetsTooClose if they differ from those of an earlier run in only a few rows."""
    mine = np.unique(_hashes(context, ids, "row sets"))
    for earlier in session.state.all(ROW_SETS):
        difference = len(np.setxor1d(mine, session.state[earlier], assume_unique=True))
        if 0 < difference < session.terms.limits.minimum_row_difference:
            raise RowSetsTooClose(f"{difference} rows differ from those of run {earlier.key[0]}.", party=session.me)
    return mine


def _hashes(context: PartyContext, ids: list[str], purpose: str) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each id, with a key that is derived from this party's vault."""
    key = context.keys.vault.derive(purpose)
    return np.array(
        [int.from_bytes(hashlib.blake2b(row_id.encode(), key=key, digest_size=8).digest(), "little") for row_id in ids], "<u8"
    )
