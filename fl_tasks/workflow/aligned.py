"""The aligned rows that alignment has pinned. They are the only data that later stages read.

Pinned means: kept in the party's private area, sealed, and not changed afterwards. Features are pinned encoded. A training uses the
encoder that alignment fits; a prediction uses the encoder of the model. In a horizontal training the encoder is made later, from
sums over all clients. Until then the features are kept without encoding; then :func:`encode_rows` replaces them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tombolo.fl_tasks.models.part import Encodes
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.state import RunState
from tombolo.fl_tasks.tables.columns import ID, feature_columns, id_columns, target_columns
from tombolo.fl_tasks.tables.pinned import ENCODED, chunks, matrix, pin, unpin
from tombolo.fl_tasks.tables.prepared import prepare
from tombolo.fl_tasks.workflow.state import ENCODER, ROWS, WHOLE
from tombolo.storage.errors import CodedError

TEST = "__test"
LEARNT, SCORED = "learnt", "scored"
"""Rows to train on, and rows that a model scores: the held-out rows, or all rows in a prediction."""
_RAW, _OWN, _ROW = "raw-", "own", "row"


class NotAligned(CodedError):
    code = "TMB-ALIGN-009"
    cause = "This run has no aligned table at this party."
    remedy = (
        "Wait until the align task of this run has succeeded at this party. Then start this task again. "
        "If retention has erased the run, start a new run."
    )


class NoLabel(CodedError):
    code = "TMB-TABLE-012"
    cause = "The table lacks the agreed column of labels or weights, or it does not hold numbers."
    remedy = "Name the column as in the terms; recode classes as 0 and 1 (0, 1, 2, ... for several)."


@dataclass(frozen=True)
class Aligned:
    """Rows in the order that all data parties share: ids, labels and weights. ``test`` marks held-out rows."""

    run: str
    table: pa.Table
    test: npt.NDArray[np.bool_]

    @property
    def ids(self) -> list[str]:
        """The id of each row, as this party's own table spells it (the parts of a composite id are joined by commas)."""
        return [str(row_id) for row_id in self.table.column(ID).to_pylist()]


def is_aligned(context: PartyContext, run: str) -> bool:
    """Whether all rows are pinned."""
    return WHOLE in context.state(run)


def pin_training(
    context: PartyContext,
    run: str,
    table: pa.Table,
    test: npt.NDArray[np.bool_],
    encoder: Encodes | None = None,
    own: pa.Table | None = None,
) -> None:
    """Keep the rows of a training. ``test`` marks the held-out rows; ``own`` are rows of this party that no other party has.

    Features are encoded with ``encoder``; without an encoder they are kept as they are until :func:`encode_rows`.
    Calling it again changes nothing.
    """
    state, names = context.state(run), feature_columns(context, table.column_names)
    place, facts = "" if encoder else _RAW, [ID, *id_columns(context), *target_columns(context)]
    pin(state, ROWS.of(place + LEARNT), learnt_table(table, test, own).select(names), encoder)
    pin(state, ROWS.of(place + SCORED), table.filter(pa.array(test)).select(names), encoder)
    if own is not None:
        pin(state, ROWS.of(_OWN), own.select(facts))
    if encoder is not None:
        state.keep(ENCODER, encoder.to_document())
    _pin_ids(state, table.select(facts), test)


def pin_prediction(context: PartyContext, run: str, table: pa.Table) -> None:
    """Keep the ids, and the rows that validation has encoded. Calling it again changes nothing."""
    state, names = context.state(run), [ID, *id_columns(context)]
    if ENCODED in table.column_names:  # without this column the run has no model to score with
        pin(state, ROWS.of(SCORED), table.select([ENCODED]))
    _pin_ids(state, table.select(names), np.zeros(table.num_rows, dtype=bool))


def _pin_ids(state: RunState, table: pa.Table, test: npt.NDArray[np.bool_]) -> None:
    """Pin ids and labels last, and then WHOLE, which marks that everything is there."""
    pin(state, ROWS.of(_ROW), table.append_column(TEST, pa.array(test)))
    state.keep(WHOLE, table.num_rows)


def learnt_table(table: pa.Table, test: npt.NDArray[np.bool_], own: pa.Table | None) -> pa.Table:
    """The rows to train on: the common rows, and after them the party's ``own`` rows."""
    common = table.filter(pa.array(~test))
    return common if own is None else pa.concat_tables([common, own])


def encode_rows(context: PartyContext, run: str, encoder: Encodes) -> None:
    """Pin encoded rows in place of the rows that were pinned without encoding. Repeating it changes nothing."""
    state = context.state(run)
    if ENCODER not in state:
        for name in (LEARNT, SCORED):
            pin(state, ROWS.of(name), _pinned(context, run, _RAW + name), encoder)
        state.keep(ENCODER, dict(encoder.to_document()))
    for name in (LEARNT, SCORED):
        unpin(state, ROWS.of(_RAW + name))


def encoder_document(context: PartyContext, run: str) -> dict[str, Any] | None:
    """The encoder of a training's pinned rows; None before there is one."""
    return context.state(run).get(ENCODER)


def encoded_rows(context: PartyContext, run: str, name: str) -> npt.NDArray[Any]:
    """Encoded features of the rows :data:`LEARNT` (in transfer the party's own rows follow the common rows) or :data:`SCORED`."""
    return matrix(_pinned(context, run, name))


def raw_rows(context: PartyContext, run: str) -> pa.Table:
    """Features of a client's training rows without encoding; they are there until there is an encoder."""
    return _pinned(context, run, _RAW + LEARNT)


def _pinned(context: PartyContext, run: str, name: str) -> pa.Table:
    """A pinned table. Raises :class:`NotAligned` if it is not there, not yet or not any more."""
    kept = list(chunks(context.state(run), ROWS.of(name)))
    if not kept:
        raise NotAligned(f"Run {run}.", party=context.me)
    return pa.concat_tables(kept)


def load_aligned(context: PartyContext, run: str) -> Aligned:
    """Ids, labels and weights of the pinned rows; raises :class:`NotAligned`."""
    whole = _pinned(context, run, _ROW)
    if whole.num_rows != context.state(run).get(WHOLE):
        raise NotAligned(f"Run {run}.", party=context.me)
    return Aligned(run, whole.drop_columns([TEST]), whole.column(TEST).to_numpy(zero_copy_only=False).astype(bool))


def with_own(context: PartyContext, run: str, aligned: Aligned) -> Aligned:
    """The aligned rows, and after them the pinned rows that only this party has.

    Only protocols of transfer pin such rows. None of them is held out.
    """
    own = list(chunks(context.state(run), ROWS.of(_OWN)))
    if not own:
        return aligned
    table = pa.concat_tables([aligned.table, *own])
    return Aligned(run, table, np.append(aligned.test, np.zeros(len(table) - len(aligned.test), dtype=bool)))


def features(context: PartyContext, aligned: Aligned) -> pa.Table:
    """The feature columns of the rows, read from the source again. Only for a machine that runs all parties."""
    table = prepare(context, aligned.run).table
    place = {row_id: at for at, row_id in enumerate(table.column(ID).to_pylist())}
    names = feature_columns(context, table.column_names)
    return table.select(names).take(pa.array([place[row_id] for row_id in aligned.ids], pa.int64()))


def tableless(context: PartyContext, run: str) -> bool:
    """Whether this party brings no rows into a run: its role has no table, or no table for runs of this kind."""
    role = context.terms.task.descriptor.role(context.role)
    return role is None or context.manifest(run).invitation.kind not in role.tables


def label(context: PartyContext, aligned: Aligned) -> npt.NDArray[np.float64]:
    """The guest's label column, shape (rows,); raises :class:`NoLabel`."""
    return _numbers(context, aligned, context.terms.task.label_column)


def weight(context: PartyContext, aligned: Aligned) -> npt.NDArray[np.float64]:
    """The weights of the guest's rows from the agreed column; all 1 if none is agreed. Raises :class:`NoLabel`."""
    name = context.terms.task.weight_column
    return np.ones(len(aligned.test)) if name is None else _numbers(context, aligned, name)


def _numbers(context: PartyContext, aligned: Aligned, name: str) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(aligned.table.column(name).cast(pa.float64()).to_numpy(), dtype=np.float64)
    except (KeyError, pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise NoLabel(f"Column {name}.", party=context.me) from None
