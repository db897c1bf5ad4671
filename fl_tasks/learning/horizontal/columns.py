"""The columns that all clients have, as the terms name them, and the encoder that statistics over all clients make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tombolo.agreements.terms import Terms
from tombolo.fl_tasks.models.part import Encodes
from tombolo.fl_tasks.tables.encoding import Column, Encoder, NoColumns
from tombolo.storage.errors import CodedError

Floats = npt.NDArray[np.float64]
LARGEST_WEIGHT = 2.0**32
"""The largest weight of a model of standardised columns; larger weights do not fit into a sum."""


class ForeignStatistics(CodedError):
    code = "TMB-HORIZONTAL-001"
    cause = "The aggregator sent wrong sums over all clients: a wrong number of values, or values that are not finite or too large."
    remedy = "Install the same version at all parties and start a new run. If it fails again, ask the aggregator."


class ForeignSums(CodedError):
    code = "TMB-HORIZONTAL-002"
    cause = "Sums over all clients are wrong: counts are negative, or the bins of two columns have different totals."
    remedy = (
        "One client uses other columns or bins; a sum does not show which client. Compare the versions and tables of all clients."
    )


@dataclass(frozen=True)
class ClientRows:
    """A client's training rows: labels of shape (rows,), and the feature columns, None when the encoded rows are kept.

    ``keep`` encodes the rows with the common encoder the first time, keeps them, and later returns the kept rows.
    """

    table: pa.Table | None
    labels: Floats
    keep: Callable[[Encodes], npt.NDArray[Any]] | None = None

    def encoded(self, encoder: Encodes) -> npt.NDArray[Any]:
        """The encoded rows, shape (rows, columns)."""
        return encoder.transform(self.table) if self.keep is None else self.keep(encoder)


@dataclass(frozen=True)
class Statistics:
    """The training rows of all clients: how many there are; for every expanded column the number of present values, their mean, and
    the deviation of all rows with the mean in place of missing values; mean and deviation of the label (0 and 1 for classes)."""

    rows: float
    present: Floats
    mean: Floats
    scale: Floats
    label_mean: float = 0.0
    label_scale: float = 1.0

    def document(self) -> dict[str, Any]:
        """The statistics as JSON."""
        arrays = {name: getattr(self, name).tolist() for name in ("present", "mean", "scale")}
        return {"rows": self.rows, **arrays, "label_mean": self.label_mean, "label_scale": self.label_scale}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Statistics:
        """Inverse of :meth:`document`."""
        arrays = {name: np.array(document[name]) for name in ("present", "mean", "scale")}
        return cls(document["rows"], **arrays, label_mean=document["label_mean"], label_scale=document["label_scale"])


def expanded(terms: Terms) -> list[tuple[str, bool]]:
    """Names of the numeric columns that the terms' columns become, and whether each one stands for a level."""
    assert terms.task.horizontal_terms is not None
    names: list[tuple[str, bool]] = []
    for name, column in terms.task.horizontal_terms.features.items():
        names += [(name, False)] if column.levels is None else [(f"{name}={level}", True) for level in column.levels]
    return names


def raw(terms: Terms, table: pa.Table) -> Floats:
    """Expanded columns of a client's rows, not standardised, NaN where a number is missing; shape (rows, columns)."""
    parts = []
    for column in _columns(terms):
        kept = column if column.missing == "reject" or column.levels else Column(column.name, column.kind, "level")
        parts += [values for _, values in kept.expand(table, keep_missing=True)]
    return np.column_stack(parts) if parts else np.zeros((table.num_rows, 0))


def encoder(terms: Terms, found: Statistics) -> Encoder:
    """The encoder, the same at every party, without constant columns and levels with too few ones or zeros. Raises NoColumns."""
    names, keep = expanded(terms), []
    for index, (_, level) in enumerate(names):
        ones = found.mean[index] * found.rows
        rare = level and min(ones, found.rows - ones) < terms.limits.minimum_one_hot_count - 0.5
        if not rare and found.scale[index] > 1e-12 * max(1.0, abs(found.mean[index])):
            keep.append(index)
    if not keep:
        raise NoColumns(f"The terms have {len(names)} columns.")
    picked = tuple(names[index][0] for index in keep)
    return Encoder(filled(terms, found), picked, tuple(found.mean[keep].tolist()), tuple(found.scale[keep].tolist()))


def filled(terms: Terms, found: Statistics) -> tuple[Column, ...]:
    """The terms' columns, with the joint means for missing numbers."""
    fills = dict(zip((name for name, _ in expanded(terms)), found.mean.tolist(), strict=True))
    return tuple(
        Column(column.name, column.kind, column.missing, 0.0 if column.levels else fills[column.name], column.clip, column.levels)
        for column in _columns(terms)
    )


def _columns(terms: Terms) -> list[Column]:
    assert terms.task.horizontal_terms is not None
    return [
        Column(
            name,
            "numeric" if agreed.levels is None else "categorical",
            agreed.missing,
            clip=agreed.clip,
            levels=tuple(agreed.levels or ()),
        )
        for name, agreed in terms.task.horizontal_terms.features.items()
    ]
