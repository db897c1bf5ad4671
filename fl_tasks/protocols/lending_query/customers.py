"""The customers of a lender as numbers, and the memory of what the lender deposited for each customer."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tombolo.fl_tasks.protocols.lending_query.errors import BadCustomers
from tombolo.fl_tasks.protocols.lending_query.keys import Keeping
from tombolo.fl_tasks.protocols.lending_query.state import CUSTOMERS
from tombolo.fl_tasks.protocols.lending_query.terms import QueryTerms
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.tables.prepared import Prepared
from tombolo.storage.errors import CodedError

COUNT_SHIFT = 40
"""A value is count * 2^40 + exposure. The sum of 256 exposures below 2^32 stays below 2^40, so it never changes the count."""
_MOST_LOANS, _MOST_UNITS = 1 << 23, 1 << 32
_ROWS = 200_000


@dataclass(frozen=True)
class Customers:
    """One canonical id and one packed value for each customer."""

    ids: Sequence[str]
    values: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, table: pa.Table, ids: Sequence[str], terms: QueryTerms) -> Customers:
        """Read the agreed columns; exposure is rounded to whole units. Raises :class:`BadCustomers`."""
        count = _column(table, terms.count, 1, _MOST_LOANS)
        exposure = _column(table, terms.exposure, terms.unit, _MOST_UNITS)
        return cls(ids, (count << np.uint64(COUNT_SHIFT)) | exposure)


def _column(table: pa.Table, name: str, unit: int, most: int) -> npt.NDArray[np.uint64]:
    if name not in table.column_names:
        raise BadCustomers(f"Column {name} is missing.")
    try:
        numbers = table.column(name).cast(pa.float64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise BadCustomers(f"Column {name} does not hold numbers.") from None
    whole = np.round(numbers / unit)
    bad = ~(np.isfinite(numbers) & (numbers >= 0) & (whole < most))
    if unit == 1:
        bad |= numbers != whole
    if bad.any():
        raise BadCustomers(f"Column {name}: {int(bad.sum())} rows have a value that is not allowed.")
    return np.asarray(whole, dtype=np.uint64)


def unpack(value: int) -> tuple[int, int]:
    """The count and the exposure (in units) of a sum of packed values."""
    return value >> COUNT_SHIFT, value & ((1 << COUNT_SHIFT) - 1)


def names_of(ids: Iterable[str], key: bytes) -> list[bytes]:
    """16 bytes per id, keyed with a secret of this party. The party stores its customers under these names between runs."""
    return [hashlib.blake2b(customer.encode(), key=key, digest_size=16).digest() for customer in ids]


class Remembered:
    """What a lender deposited for each customer, in an index and in the earlier indexes that it updates."""

    def __init__(self, keeping: Keeping) -> None:
        self._keeping, self._state = keeping, keeping.state

    def load(self, run: str | None) -> dict[bytes, tuple[bytes, int]]:
        """The latest point and value of each customer, by name."""
        deposited: dict[bytes, tuple[bytes, int]] = {}
        for epoch in reversed(list(self._keeping.layers(run))):
            for part in self._state.all(CUSTOMERS.of(epoch.run)):
                table = pq.read_table(pa.BufferReader(self._state[part]))
                columns = (table.column(name).to_pylist() for name in ("name", "point", "value"))
                deposited.update({name: (point, value) for name, point, value in zip(*columns, strict=True)})
        return deposited

    def store(self, run: str, changed: Mapping[bytes, tuple[bytes, int]]) -> None:
        """Keep what an index adds and changes. What is kept already is not replaced."""
        names = sorted(changed)
        for index, start in enumerate(range(0, len(names), _ROWS)):
            chunk = names[start : start + _ROWS]
            table = pa.table(
                {
                    "name": pa.array(chunk, pa.binary(16)),
                    "point": pa.array([changed[name][0] for name in chunk], pa.binary(32)),
                    "value": pa.array([changed[name][1] for name in chunk], pa.uint64()),
                }
            )
            sink = io.BytesIO()
            pq.write_table(table, sink)
            self._state.keep(CUSTOMERS.of(run, index), sink.getvalue())


def check_table(context: PartyContext, prepared: Prepared) -> None:
    """Check that the lender's table has the agreed columns, with allowed values. Raises :class:`BadCustomers`."""
    try:
        Customers.of(prepared.table, prepared.ids, context.terms.task.section(QueryTerms))
    except CodedError as error:
        raise error.at(context.me) from None
