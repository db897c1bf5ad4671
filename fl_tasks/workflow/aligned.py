"""The aligned table: what alignment pinned in the party's private area, and the only data that later stages read."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tombolo.agreements.terms import AlignmentTerms
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.state import Item, RunState
from tombolo.fl_tasks.workflow.state import ALIGNED, OWN_ROWS, WHOLE
from tombolo.storage.errors import CodedError
from tombolo.storage.roles import LABELLED

TEST, ID = "__test", "__id"
_CHUNK_ROWS = 200_000


class NotAligned(CodedError):
    code = "TMB-ALIGN-009"
    cause = "This run has no aligned table at this party."
    remedy = "Let the alignment stage of the run finish first."


class NoLabel(CodedError):
    code = "TMB-TABLE-012"
    cause = "The table lacks the agreed column of labels or weights, or it does not hold numbers."
    remedy = "Name the column as in the terms; recode classes as 0 and 1 (0, 1, 2, ... for several)."


@dataclass(frozen=True)
class Aligned:
    """Rows in the order that all data parties share. ``test`` marks held-out rows; ``table`` has the party's own columns."""

    table: pa.Table
    test: npt.NDArray[np.bool_]

    @property
    def ids(self) -> list[str]:
        """The party's own spelling of each row's id (composite ones joined by commas)."""
        return [str(one) for one in self.table.column(ID).to_pylist()]


def store_aligned(
    context: PartyContext, run: str, table: pa.Table, test: npt.NDArray[np.bool_], own: pa.Table | None = None
) -> None:
    """Keep the table (with its ``__id`` column) in chunks, and a party's ``own`` rows that no other has; what is kept stands."""
    state = context.state(run)
    whole = table.append_column(TEST, pa.array(test))
    for kind, kept in ([] if own is None else [(OWN_ROWS, own)]) + [(ALIGNED, whole)]:
        for index, start in enumerate(range(0, max(kept.num_rows, 1), _CHUNK_ROWS)):
            sink = io.BytesIO()
            pq.write_table(kept.slice(start, _CHUNK_ROWS), sink, compression="zstd")
            state.keep(kind.of(index), sink.getvalue())
    state.keep(WHOLE, whole.num_rows)


def load_aligned(context: PartyContext, run: str) -> Aligned:
    """The pinned table; raises :class:`NotAligned`."""
    if WHOLE not in context.state(run):
        raise NotAligned(f"Run {run}.", party=context.me)
    whole = pa.concat_tables(_chunks(context.state(run), ALIGNED))
    return Aligned(whole.drop_columns([TEST]), whole.column(TEST).to_numpy(zero_copy_only=False).astype(bool))


def with_own(context: PartyContext, run: str, aligned: Aligned) -> Aligned:
    """The aligned rows, and after them what alignment pinned of the party's own rows that no other has: with transfer, all of
    them."""
    own = _chunks(context.state(run), OWN_ROWS)
    return join_own(aligned, pa.concat_tables(own)) if own else aligned


def join_own(aligned: Aligned, own: pa.Table) -> Aligned:
    """Own rows after the aligned ones; none of them is held out."""
    return Aligned(pa.concat_tables([aligned.table, own]), np.append(aligned.test, np.zeros(own.num_rows, dtype=bool)))


def _chunks(state: RunState, family: Item[bytes]) -> list[pa.Table]:
    return [pq.read_table(pa.BufferReader(state[one])) for one in state.all(family)]


def tableless(context: PartyContext, run: str) -> bool:
    """Whether this party brings no rows into a run: its role has no table, or none for runs of this kind."""
    role = context.terms.task.descriptor.role(context.role)
    return role is None or context.manifest(run).invitation.kind not in role.tables


def id_columns(context: PartyContext) -> list[str]:
    """This party's names of the agreed id columns."""
    terms: AlignmentTerms = context.terms.alignment
    return [context.agreement_settings.rename.get(one.column, one.column) for one in terms.id]


def features(context: PartyContext, aligned: Aligned) -> pa.Table:
    """The feature columns of the aligned table."""
    return aligned.table.select(feature_columns(context, aligned.table.column_names))


def feature_columns(context: PartyContext, names: Sequence[str]) -> list[str]:
    """Which of a table's columns are features: those that a horizontal agreement names, in its order; else all but the others."""
    if context.terms.task.horizontal_terms is not None:
        return list(context.terms.task.horizontal_terms.features)
    other = other_columns(context)
    return [name for name in names if name not in other]


def other_columns(context: PartyContext) -> set[str]:
    """Columns that are no features: ids, label, the duplicate policy's column and what the terms drop."""
    terms = context.terms
    other = {ID, *id_columns(context), *terms.table(context.me).drop}
    if terms.alignment.latest_by:
        other.add(terms.alignment.latest_by)
    if context.role in LABELLED:
        other.add(terms.task.label_column)
        if terms.task.weight_column is not None:
            other.add(terms.task.weight_column)
    return other


def label(context: PartyContext, aligned: Aligned) -> npt.NDArray[np.float64]:
    """The guest's label column, shape (rows,); raises :class:`NoLabel`."""
    return _numbers(context, aligned, context.terms.task.label_column)


def weight(context: PartyContext, aligned: Aligned) -> npt.NDArray[np.float64]:
    """The weights of the guest's rows by the agreed column, all 1 without one; raises :class:`NoLabel`."""
    name = context.terms.task.weight_column
    return np.ones(len(aligned.test)) if name is None else _numbers(context, aligned, name)


def _numbers(context: PartyContext, aligned: Aligned, name: str) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(aligned.table.column(name).cast(pa.float64()).to_numpy(), dtype=np.float64)
    except (KeyError, pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise NoLabel(f"Column {name}.", party=context.me) from None
