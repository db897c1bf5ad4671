"""From a table's columns to standardised numbers: missing values, one-hot, scaling, and the guards that training needs.

An encoder is fitted on training rows only, kept as JSON with the model part, and applied to held-out rows and to new rows.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tombolo.agreements.tables import ColumnTerms, TableTerms
from tombolo.agreements.terms import LimitTerms
from tombolo.storage.errors import CodedError

Floats = npt.NDArray[np.float64]
log = logging.getLogger("tombolo")
_LARGEST = 2.0**10
_CHUNK = 65_536


class MissingValues(CodedError):
    code = "TMB-TABLE-001"
    cause = "A column has missing values and no policy for them."
    remedy = "Declare a policy for the column in the terms: mean, median, zero, indicator or level."


class NotFinite(CodedError):
    code = "TMB-TABLE-002"
    cause = "A column holds NaN or infinite values."
    remedy = "Clean the column, or declare a missing-value policy; infinite values are never accepted."


class LeverageTooHigh(CodedError):
    code = "TMB-TABLE-003"
    cause = "The features of a training row are so extreme that the gradients would show the residual of this row."
    remedy = "Clip the columns in the terms (clip: 5), drop columns that are mostly zero, or use more rows."


class NoColumns(CodedError):
    code = "TMB-TABLE-004"
    cause = "No usable feature column is left."
    remedy = "Check the table and the columns that the terms drop. Constant columns are left out."


class UnusableColumn(CodedError):
    code = "TMB-TABLE-005"
    cause = "A column's type cannot be encoded, or the table lacks a column that the model was trained on."
    remedy = "Use numeric, boolean or text columns, with the names of the training table; drop other columns in the terms."


class TooExtreme(CodedError):
    code = "TMB-TABLE-006"
    cause = "A standardised value exceeds 1024 standard deviations."
    remedy = "Clip the column in the terms, or correct it at its source."


@dataclass(frozen=True)
class Column:
    """One source column: its kind, what replaces a missing value, its levels if categorical, and an indicator if wanted."""

    name: str
    kind: str
    missing: str
    fill: float = 0.0
    clip: float | None = None
    levels: tuple[str, ...] = ()

    def expand(self, table: pa.Table, keep_missing: bool = False) -> list[tuple[str, Floats]]:
        """The raw numeric columns that this column becomes; with ``keep_missing`` the policy `level` leaves missing numbers NaN."""
        if self.name not in table.column_names:
            raise UnusableColumn(f"Column {self.name}.")
        column = table.column(self.name)
        if self.kind == "categorical":
            texts = _texts(column, self.name)
            if self.missing == "reject" and (texts == "").any():
                raise MissingValues(f"Column {self.name}: {int((texts == '').sum())} rows.")
            return [(f"{self.name}={level}", np.asarray(texts == level, dtype=np.float64)) for level in self.levels]
        values, absent = _numbers(column, self.name)
        if absent.any() and self.missing == "reject":
            raise MissingValues(f"Column {self.name}: {int(absent.sum())} rows.")
        fill = np.nan if keep_missing and self.missing == "level" else self.fill
        filled = [(self.name, np.where(absent, fill, values))]
        return [*filled, (f"{self.name}?", absent.astype(np.float64))] if self.missing == "indicator" else filled


@dataclass(frozen=True)
class Encoder:
    """The fitted source columns, and the ``names``, means and scales of the encoded columns."""

    columns: tuple[Column, ...]
    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def fit(cls, table: pa.Table, spec: TableTerms, train: npt.NDArray[np.bool_], limits: LimitTerms, party: str) -> Encoder:
        """Fit on the ``train`` rows of a table of feature columns. Raises this module's coded errors, without values in them."""
        try:
            return cls._fit(table, spec, train, limits)
        except CodedError as error:
            raise error.at(party) from None

    @classmethod
    def _fit(cls, table: pa.Table, spec: TableTerms, train: npt.NDArray[np.bool_], limits: LimitTerms) -> Encoder:
        rows = table.filter(pa.array(train))
        columns = tuple(fit_column(rows, name, spec, limits) for name in table.column_names)
        names, mean, scale, left_out = [], [], [], []
        for column in columns:
            expanded = column.expand(rows)
            left_out += [] if expanded else [column.name]
            for name, values in expanded:
                centre, spread = float(values.mean()), float(values.std())
                binary = column.kind == "categorical" or bool(np.isin(values, (0.0, 1.0)).all())
                ones = min(int(values.sum()), len(values) - int(values.sum())) if binary else len(values)
                if spread > 1e-12 * max(1.0, abs(centre)) and ones >= limits.minimum_one_hot_count:
                    names.append(name)
                    mean.append(centre)
                    scale.append(spread)
                else:
                    left_out.append(column.name)
        if left_out:
            log.info("columns left out, as constant or with too few ones or zeros: %s", ", ".join(dict.fromkeys(left_out)))
        if not names:
            raise NoColumns(f"The table has {table.num_columns} columns.")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:  # a column `x?` beside the indicator of `x`, or `x=a` beside the level `a` of `x`
            raise UnusableColumn(f"{len(twice)} encoded columns share a name; rename columns that have = or ? in their names.")
        encoder = cls(columns, tuple(names), tuple(mean), tuple(scale))
        _guard_leverage(encoder.transform(rows), limits.maximum_leverage)
        return encoder

    def transform(self, table: pa.Table) -> Floats:
        """Encoded and standardised values, shape (rows, columns). Raises this module's coded errors."""
        parts = [self._chunk(table.slice(at, _CHUNK)) for at in range(0, max(table.num_rows, 1), _CHUNK)]
        return np.concatenate(parts)

    def _chunk(self, table: pa.Table) -> Floats:
        place = {name: index for index, name in enumerate(self.names)}
        out = np.empty((table.num_rows, len(self.names)))
        for column in self.columns:
            for name, values in column.expand(table):
                if name in place:
                    index = place[name]
                    scaled = (values - self.mean[index]) / self.scale[index]
                    out[:, index] = scaled if column.clip is None else np.clip(scaled, -column.clip, column.clip)
                    if np.abs(out[:, index]).max(initial=0) > _LARGEST:
                        raise TooExtreme(f"Column {column.name}.")
        return out

    def to_document(self) -> dict[str, Any]:
        """The encoder as JSON."""
        return {
            "columns": [column_document(column) for column in self.columns],
            "names": list(self.names),
            "mean": list(self.mean),
            "scale": list(self.scale),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Encoder:
        """Inverse of :meth:`to_document`; raises KeyError, TypeError or ValueError on anything else."""
        columns = tuple(column_of(column) for column in document["columns"])
        mean, scale = (tuple(float(value) for value in document[name]) for name in ("mean", "scale"))
        names = tuple(str(name) for name in document["names"])
        if not len(names) == len(mean) == len(scale):
            raise ValueError("lengths differ")
        return cls(columns, names, mean, scale)


def column_document(column: Column) -> dict[str, Any]:
    """A fitted column as JSON."""
    return {**asdict(column), "levels": list(column.levels)}


def column_of(document: Mapping[str, Any]) -> Column:
    """Inverse of :func:`column_document`."""
    return Column(**{**document, "levels": tuple(document["levels"])})


def fit_column(rows: pa.Table, name: str, spec: TableTerms, limits: LimitTerms) -> Column:
    """Fit one column on training rows."""
    kind = _kind(rows.schema.field(name).type, name)
    terms = spec.columns.get(name, ColumnTerms(kind=kind, clip=None))
    policy = terms.missing or spec.missing
    if terms.kind == "categorical":
        texts = _texts(rows.column(name), name)
        if policy == "reject" and (texts == "").any():
            raise MissingValues(f"Column {name}: {int((texts == '').sum())} rows.")
        levels, counts = np.unique(texts, return_counts=True)
        kept = [str(level) for level, n in zip(levels, counts, strict=True) if n >= limits.minimum_one_hot_count and level != ""]
        return Column(name, "categorical", policy, levels=tuple(kept), clip=terms.clip)
    if kind == "categorical":
        raise UnusableColumn(f"Column {name} holds text; declare it categorical or drop it.")
    values, absent = _numbers(rows.column(name), name)
    present = values[~absent]
    fill = 0.0
    if len(present) and policy in ("mean", "indicator", "median"):
        fill = float(np.median(present) if policy == "median" else np.mean(present))
    return Column(name, "numeric", policy, fill, terms.clip)


def _kind(arrow: pa.DataType, name: str) -> Any:
    if pa.types.is_dictionary(arrow):
        arrow = arrow.value_type
    if pa.types.is_string(arrow) or pa.types.is_large_string(arrow):
        return "categorical"
    if pa.types.is_floating(arrow) or pa.types.is_integer(arrow) or pa.types.is_boolean(arrow) or pa.types.is_decimal(arrow):
        return "numeric"
    if pa.types.is_null(arrow):
        return "numeric"
    raise UnusableColumn(f"Column {name} is of type {arrow}.")


def _numbers(column: pa.ChunkedArray, name: str) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Values as float64 and where they are missing (null or NaN); infinite values are refused."""
    try:
        values = pc.cast(column, pa.float64(), safe=False).to_numpy().astype(np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # its own text may quote a value
        raise UnusableColumn(f"Column {name} is of type {column.type} and does not hold numbers.") from None
    if np.isinf(values).any():
        raise NotFinite(f"Column {name}.")
    return values, np.isnan(values)


def _texts(column: pa.ChunkedArray, name: str) -> npt.NDArray[Any]:
    """Values as text, missing ones empty."""
    if pa.types.is_floating(column.type) and not np.isfinite(column.drop_null().to_numpy()).all():
        raise NotFinite(f"Column {name}.")
    try:
        texts = pc.cast(column, pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise UnusableColumn(f"Column {name} is of type {column.type} and does not hold text.") from None
    return np.asarray(pc.fill_null(texts, "").to_numpy(zero_copy_only=False), dtype=str)


def _guard_leverage(x: Floats, limit: float) -> None:
    """Refuse a training row whose leverage x (X^T X)^+ x^T + 1/n exceeds the limit."""
    inverse = np.linalg.pinv(x.T @ x, hermitian=True)
    worst = max(
        float(np.einsum("ij,jk,ik->i", x[at : at + _CHUNK], inverse, x[at : at + _CHUNK]).max()) for at in range(0, len(x), _CHUNK)
    )
    if worst + 1 / len(x) > limit:
        raise LeverageTooHigh(f"The highest leverage is {worst:.2f}; at most {limit:g} is agreed.")
