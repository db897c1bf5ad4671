"""Values of people that trainings use for longer than the source has them, and what has changed in the source since."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Mask = npt.NDArray[np.bool_]


def differing(used: pa.ChunkedArray, present: pa.ChunkedArray) -> Mask:
    """Which rows of two columns of one type differ, shape (rows,). Missing values and NaN equal each other."""
    absent = pc.not_equal(used.is_null(nan_is_null=True), present.is_null(nan_is_null=True))
    unequal = pc.fill_null(pc.not_equal(used, present), False)
    both = pc.and_(used.is_null(nan_is_null=True), present.is_null(nan_is_null=True))
    return np.asarray(pc.and_not(pc.or_(absent, unequal), both))


def as_present(used: pa.Table, present: pa.Table) -> tuple[pa.Table, set[str]]:
    """The used values with the columns and types that the source has now, and the columns whose values must be those of now.

    Both tables have the same rows. A column that is new, or has another type into which its values cannot be turned, takes the
    values of now.
    """
    columns, forced = [], set()
    for field in present.schema:
        column = used.column(field.name) if field.name in used.column_names else None
        if column is not None and column.type != field.type:
            try:
                column = column.cast(field.type)
            except pa.ArrowException:
                column = None
        if column is None:
            forced.add(field.name)
            column = present.column(field.name)
        columns.append(column)
    return pa.table(columns, schema=present.schema), forced


def replaced(used: pa.Table, present: pa.Table, rows: Mapping[str, Mask]) -> pa.Table:
    """The used values, in which the marked rows of some columns have the values of now; both tables have the same rows."""
    table = used
    for name, marked in rows.items():
        at = table.column_names.index(name)
        values = pc.if_else(pa.array(marked), present.column(name), used.column(name))
        table = table.set_column(at, present.schema.field(name), values)
    return table
