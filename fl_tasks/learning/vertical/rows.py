"""One party's columns of the training rows, and the checks that keep a protocol's messages from showing too much."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.crypto.fixedpoint import FEATURE_BITS, encode_features
from tombolo.fl_tasks.learning.parameters import Penalised
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import CodedError

Floats = npt.NDArray[np.float64]
MOST_ROWS = 1 << 31
"""No table has more training rows."""
MOST_COLUMNS = 1 << 16
ROWS_PER_COLUMN = 10
"""More columns than can be trained."""
LONGEST_STEP = 2.0**32
"""Honest scalars never give a longer step along a direction."""


class BatchTooSmall(CodedError):
    code = "TMB-TRAIN-001"
    cause = "There are too few training rows for the number of columns. Gradients could then show the residuals of single rows."
    remedy = "Use more rows (at least limits.minimum_batch, and ten per column), fewer columns, or a larger batch_rows."


class BadLabel(CodedError):
    code = "TMB-TRAIN-002"
    cause = "The label cannot be used: logistic models take 0 and 1 (both of them), linear ones finite numbers."
    remedy = "Correct or recode the label column at the guest."


@dataclass(frozen=True)
class VerticalRows:
    """``x`` of shape (rows, columns), standardised; ``y`` of shape (rows,) at the guest; column ``names``."""

    x: Floats
    y: Floats | None
    names: tuple[str, ...]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.x)

    @cached_property
    def fixed(self) -> npt.NDArray[np.int64]:
        """``x`` in fixed point with :data:`~fl_tasks.crypto.fixedpoint.FEATURE_BITS`."""
        return encode_features(self.x, FEATURE_BITS)

    @cached_property
    def rounded(self) -> Floats:
        """``x`` rounded to fixed point, so that computations in the clear and under encryption use the same matrix.

        The columns are one after the other in memory (order F), which makes products twice as fast.
        """
        return np.asfortranarray(self.fixed) / 2.0**FEATURE_BITS

    def with_intercept(self) -> VerticalRows:
        """The guest's block with a column of ones in front."""
        return VerticalRows(np.column_stack([np.ones(self.rows), self.x]), self.y, ("", *self.names))

    def curvature(self, factor: float, penalty: Floats) -> Floats:
        """``factor * X^T X / rows + diag(penalty)``, shape (columns, columns)."""
        return factor * self.rounded.T @ self.rounded / self.rows + np.diag(penalty)


def penalties(session: Session, columns: int) -> Floats:
    """The L2 penalty per column; the guest's first column, the intercept, has none."""
    penalty = np.full(columns, session.parameters(Penalised).l2)
    if session.role == "guest":
        penalty[0] = 0.0
    return penalty


def guard_batch(session: Session, data: VerticalRows, batch: int) -> None:
    """Refuse too few rows per gradient: with at most ten rows per column a party could compute residuals, and so labels.

    Every data party checks its own columns, so together they also check the party with the most columns.
    """
    least = max(session.terms.limits.minimum_batch, ROWS_PER_COLUMN * data.x.shape[1])
    if batch < least:
        raise BatchTooSmall(f"{batch} rows for {data.x.shape[1]} columns; at least {least} are needed.", party=session.me)


def guard_label(session: Session, data: VerticalRows, binary: bool) -> Floats:
    """The guest's label, checked; raises :class:`BadLabel`."""
    y = data.y
    if y is None or not np.isfinite(y).all() or (binary and set(np.unique(y)) != {0.0, 1.0}):
        raise BadLabel(party=session.me)
    return y


def solver(matrix: Floats) -> Floats:
    """The (pseudo-)inverse of a symmetric positive matrix, shape (columns, columns). There are few columns."""
    return np.asarray(np.linalg.pinv(matrix, hermitian=True))
