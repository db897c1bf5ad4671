"""From a table's columns to bin numbers: quantile cuts of the training rows, and an extra bin for missing values.

A value x is in bin b (1, 2, ...) where cut_(b-1) < x <= cut_b; bin 0 is for missing values. Values are compared as float32, which
is how XGBoost reads them: an exported model splits in the same way. A binner is fitted on training rows only, and kept as JSON.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tombolo.agreements.tables import TableTerms
from tombolo.agreements.terms import LimitTerms
from tombolo.fl_tasks.tables.encoding import (
    Column,
    NoColumns,
    UnusableColumn,
    column_document,
    column_of,
    fit_column,
)
from tombolo.storage.errors import CodedError

Codes = npt.NDArray[np.uint8]
MOST_BINS = 255
log = logging.getLogger("tombolo")


@dataclass(frozen=True)
class Binner:
    """Binned columns ``names`` with their ``cuts``; ``absent`` is the bin that a missing value of the column goes to."""

    columns: tuple[Column, ...]
    names: tuple[str, ...]
    cuts: tuple[tuple[float, ...], ...]
    absent: tuple[int, ...]
    missing: tuple[bool, ...]

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """How many bins of present values each column has."""
        return np.array([len(cuts) + 1 for cuts in self.cuts], dtype=np.int64)

    @classmethod
    def fit(
        cls, table: pa.Table, spec: TableTerms, train: npt.NDArray[np.bool_], limits: LimitTerms, bins: int, party: str
    ) -> Binner:
        """Fit on the ``train`` rows of a table of feature columns; every bin holds ``limits.minimum_bin_rows`` of them or more.

        If fewer are missing, they go to the bin of the median. Columns with a single bin are left out. Raises the coded errors of
        :mod:`tombolo.fl_tasks.tables.encoding`, without values in them.
        """
        try:
            return cls._fit(table.filter(pa.array(train)), spec, limits, bins)
        except CodedError as error:
            raise error.at(party) from None

    @classmethod
    def _fit(cls, rows: pa.Table, spec: TableTerms, limits: LimitTerms, bins: int) -> Binner:
        columns = tuple(fit_column(rows, name, spec, limits) for name in rows.column_names)
        binned: list[tuple[str, tuple[float, ...], int, bool]] = []
        left_out = []
        for column, name, values in _expanded(columns, rows):
            present = values[~np.isnan(values)]
            cuts = _cuts(np.sort(present), bins, limits.minimum_bin_rows)
            lacking = len(values) - len(present)
            own = lacking >= max(1, limits.minimum_bin_rows)
            if not cuts and not own:
                left_out.append(column)
                continue
            median = (
                0
                if own or not lacking
                else int(np.searchsorted(np.array(cuts, dtype=np.float32), np.median(present), side="left")) + 1
            )
            binned.append((name, cuts, median, own))
        if left_out:
            log.info("columns left out, as they have a single bin: %s", ", ".join(dict.fromkeys(left_out)))
        if not binned:
            raise NoColumns(f"The table has {rows.num_columns} columns.")
        names, all_cuts, absent, missing = zip(*binned, strict=True)
        if len(set(names)) < len(names):
            raise UnusableColumn("Encoded columns share a name; rename columns that have = or ? in their names.")
        return cls(columns, names, all_cuts, absent, missing)

    def transform(self, table: pa.Table) -> Codes:
        """Bin numbers, shape (rows, columns). Raises the coded errors of :mod:`tombolo.fl_tasks.tables.encoding`."""
        place = {name: index for index, name in enumerate(self.names)}
        codes = np.zeros((table.num_rows, len(self.names)), dtype=np.uint8)
        for _, name, values in _expanded(self.columns, table):
            if name in place:
                at = place[name]
                absent = np.isnan(values)
                codes[:, at] = np.searchsorted(np.array(self.cuts[at], dtype=np.float32), values, side="left") + 1
                codes[absent, at] = self.absent[at]
        return codes

    def to_document(self) -> dict[str, Any]:
        """The binner as JSON."""
        return {
            "columns": [column_document(column) for column in self.columns],
            "names": list(self.names),
            "cuts": [list(cuts) for cuts in self.cuts],
            "absent": list(self.absent),
            "missing": list(self.missing),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Binner:
        """Inverse of :meth:`to_document`; raises KeyError, TypeError or ValueError on anything else."""
        columns = tuple(column_of(column) for column in document["columns"])
        names = tuple(str(name) for name in document["names"])
        cuts = tuple(tuple(float(cut) for cut in ordered) for ordered in document["cuts"])
        absent = tuple(int(code) for code in document["absent"])
        missing = tuple(bool(own) for own in document["missing"])
        if not len(names) == len(cuts) == len(absent) == len(missing):
            raise ValueError("lengths differ")
        for ordered, code in zip(cuts, absent, strict=True):
            if list(ordered) != sorted(ordered) or not 0 <= code <= len(ordered) + 1 <= MOST_BINS:
                raise ValueError("cuts are not in order, or too many")
        return cls(columns, names, cuts, absent, missing)


def _expanded(columns: tuple[Column, ...], table: pa.Table) -> Iterator[tuple[str, str, npt.NDArray[np.float32]]]:
    """Source column, name and float32 values of every numeric column that the source columns become."""
    for column in columns:
        for name, values in column.expand(table, keep_missing=True):
            yield column.name, name, single(values, column.name)


def single(values: npt.NDArray[np.float64], name: str) -> npt.NDArray[np.float32]:
    """Values in single precision. Raises :class:`UnusableColumn` with the column's name for values beyond its range."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    if np.isinf(single).any():
        raise UnusableColumn(f"Column {name} has numbers beyond the range of single precision.")
    return single


def _cuts(present: npt.NDArray[np.float32], bins: int, least: int) -> tuple[float, ...]:
    """Cuts of sorted values: between all different values if there are few, else at quantiles. A bin has ``least`` rows or more."""
    n = len(present)
    if n == 0:
        return ()
    values = np.unique(present)
    wanted = values[:-1] if len(values) <= bins else np.unique(present[[n * k // bins for k in range(1, bins)]])
    return spaced(wanted.tolist(), np.searchsorted(present, wanted, side="right").tolist(), n, least)


def spaced(cuts: Sequence[float], upto: Sequence[int], rows: int, least: int) -> tuple[float, ...]:
    """The ``cuts``, lowest first, without those that make a bin below ``least`` rows; ``upto`` counts rows up to each cut."""
    kept: list[float] = []
    below = 0
    for cut, count in zip(cuts, upto, strict=True):
        if count - below >= least and rows - count >= least:
            kept.append(cut)
            below = count
    return tuple(kept)
