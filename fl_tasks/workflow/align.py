"""Align stage: find the rows that all data parties share, check them, and pin them for all later stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tombolo.agreements.parameters import TrainingParameters
from tombolo.fl_tasks.alignment import pair, ring
from tombolo.fl_tasks.alignment.messages import MESSAGES
from tombolo.fl_tasks.alignment.order import HELD_OUT, LEARNT, WAITS, check_order
from tombolo.fl_tasks.models.family import Training
from tombolo.fl_tasks.models.part import Encodes
from tombolo.fl_tasks.privacy.roster import Mask
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
from tombolo.fl_tasks.workflow.people import sends_about
from tombolo.fl_tasks.workflow.roster import BUCKETS, Decided, Places, buckets, decide, hold, keep
from tombolo.fl_tasks.workflow.state import MOVED
from tombolo.storage.errors import CodedError
from tombolo.storage.roles import ARBITER, CLIENT, HOLDERS

FEWEST_OF_A_CLASS = 10
"""Strangers who join together have at least so many rows of each class."""


class TooFewCommon(CodedError):
    code = "TMB-ALIGN-011"
    cause = "The parties have fewer common ids than the agreed minimum."
    remedy = (
        "Check the id columns and their canonical form at all parties and start a new run, or agree on new terms with a smaller "
        "alignment.minimum_intersection."
    )


class BadSplit(CodedError):
    code = "TMB-ALIGN-013"
    cause = "The split file cannot be used."
    remedy = "Give a Parquet or CSV file with the id columns and a column `set` that says train or test."


def align(context: PartyContext, run: str, wait: Wait, progress: Progress = log_progress) -> dict[str, Any]:
    """Take part in the alignment: pin the aligned rows, and delete the validated table, which is no longer needed.

    Returns ``{"rows", "train", "test"}`` (an empty dict where there is no table), and how many people wait to join, left, or
    wait to leave, as far as there are any. In a horizontal agreement nothing is aligned: a client only chooses which of its own
    rows are held out, and sends no message.
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
        test, moved = int(aligned.test.sum()), session.state.get(MOVED) or {}
        enter(context, run, "alignment", "rows", rows=len(aligned.test), test=test, **moved)
        session.report(rows=len(aligned.test), test=test, **moved)
        return {"rows": len(aligned.test), "train": len(aligned.test) - test, "test": test, **moved}


def _own_users(context: PartyContext, run: str) -> bool:
    """Whether this run predicts for all of this party's own users, also for those that no other party has."""
    return context.terms.task.descriptor.own_users and context.manifest(run).invitation.kind == "predict"


def _align(context: PartyContext, session: Session, protocol: Any) -> None:
    predicting = context.manifest(session.run).invitation.kind == "predict"
    least = 1 if predicting else session.terms.alignment.minimum_intersection
    prepared = pinned(context, session.run)
    if not predicting:
        held = hold(context, session.run, prepared)
        prepared = held.prepared
    sends_about(context, session, prepared.ids, "common")
    rows = protocol.common_rows(session, prepared.ids, least)
    if len(rows) < least:
        raise TooFewCommon(f"There are {len(rows)}; at least {least} are agreed.", party=session.me)
    if predicting:
        ids = [prepared.ids[at] for at in rows]
        check_order(session, ids)
        pin_prediction(context, session.run, prepared.table.take(pa.array(rows, pa.int64())))
        return
    decided = decide(context, session, held, rows, _places(context, session))
    ids = [prepared.ids[rows[at]] for at in decided.rows]
    own = _others(prepared, rows) if session.terms.task.descriptor.own_users else None
    learnt = learnt_table(decided.table, decided.test, own)
    columns = learnt.select(feature_columns(context, learnt.column_names))
    training = Training(context.terms, session.params, context.me)
    encoder: Encodes = vertical_model_of(context.terms.task).fit(training, columns, np.ones(len(learnt), dtype=bool))
    check_order(session, ids)  # a party sends its digest only after its checks: if one party fails, none keeps a roster
    _keep(context, session, decided, ids)
    pin_training(context, session.run, decided.table, decided.test, encoder, own)


def _keep(context: PartyContext, session: Session, decided: Decided, ids: Sequence[str]) -> None:
    keep(context, session.run, decided, ids)
    session.state.keep(MOVED, {name: count for name, count in decided.facts.items() if count})


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
    held = hold(context, session.run, prepared)
    decided = decide(context, session, held, range(len(held.prepared.ids)), _places(context, session))
    _keep(context, session, decided, [held.prepared.ids[at] for at in decided.rows])
    pin_training(context, session.run, decided.table, decided.test)


def _places(context: PartyContext, session: Session) -> Places:
    """Who is held out; and who must wait, because the strangers of a side have too few rows of a class."""

    def places(ids: Sequence[str], table: pa.Table, known: Mask) -> npt.NDArray[np.int64]:
        test = _split(context, session, ids)
        where = np.where(test, HELD_OUT, LEARNT)
        if known.any() and session.terms.task.outcome != "number":
            labels = np.asarray(table.column(session.terms.task.label_column).cast(pa.float64()))
            for side in (HELD_OUT, LEARNT):
                strangers = ~known & (where == side)
                counts = [int((labels[strangers] == number).sum()) for number in range(session.terms.task.classes)]
                if min(counts) < FEWEST_OF_A_CLASS:
                    where[strangers] = WAITS
        return where

    return places


def _split(context: PartyContext, session: Session, ids: Sequence[str]) -> Mask:
    """The held-out rows: those of the split file, or of so many of the 20 fixed buckets."""
    given = context.agreement_settings.split
    if given is None:
        fraction = session.parameters(TrainingParameters).test_fraction
        return np.asarray(buckets(context, ids) < max(round(fraction * BUCKETS), int(fraction > 0)))
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
