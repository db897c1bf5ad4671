"""What boosted trees minimise: the first and second derivatives of a loss per row, as XGBoost defines them, and in integers.

Margins have shape (rows, outputs): one output for a probability or a number, one per class otherwise; each output gets a tree of
its own in every round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.learning.links import softmax

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
_SMALLEST = 1e-16
_RARE = 1e-12


@dataclass(frozen=True)
class Objective:
    """A loss: ``derivatives(margins, labels)`` gives g and h of shape (rows, outputs), ``losses`` one number per row.

    ``curvature`` is the largest h that a row of weight 1 can have, so a sum H of h comes from H / curvature rows or more.
    """

    name: str
    curvature: float
    base: Callable[[Floats, Floats, int], Floats]
    derivatives: Callable[[Floats, Floats], tuple[Floats, Floats]]
    losses: Callable[[Floats, Floats], Floats]

    def loss(self, margins: Floats, labels: Floats, weights: Floats) -> float:
        """The weighted mean loss."""
        return float(weights @ self.losses(margins, labels) / weights.sum())


def _logistic_base(y: Floats, w: Floats, outputs: int) -> Floats:
    mean = float(np.clip(w @ y / w.sum(), _RARE, 1 - _RARE))
    return np.array([np.log(mean / (1 - mean))])


def _logistic(margins: Floats, y: Floats) -> tuple[Floats, Floats]:
    p = 0.5 * (1.0 + np.tanh(margins / 2))
    return p - y[:, None], np.maximum(p * (1.0 - p), _SMALLEST)


def _logistic_losses(margins: Floats, y: Floats) -> Floats:
    u = margins[:, 0]
    return np.asarray(np.logaddexp(0.0, u) - y * u)


def _squared_base(y: Floats, w: Floats, outputs: int) -> Floats:
    return np.array([w @ y / w.sum()])


def _squared(margins: Floats, y: Floats) -> tuple[Floats, Floats]:
    return margins - y[:, None], np.ones_like(margins)


def _squared_losses(margins: Floats, y: Floats) -> Floats:
    return np.asarray((margins[:, 0] - y) ** 2)


def _softmax_base(y: Floats, w: Floats, outputs: int) -> Floats:
    shares = np.bincount(y.astype(np.int64), weights=w, minlength=outputs) / w.sum()
    return np.asarray(np.log(np.maximum(shares, _RARE)))


def _softmax(margins: Floats, y: Floats) -> tuple[Floats, Floats]:
    p = softmax(margins)
    g = p.copy()
    g[np.arange(len(y)), y.astype(np.int64)] -= 1.0
    return g, np.maximum(2.0 * p * (1.0 - p), _SMALLEST)


def _softmax_losses(margins: Floats, y: Floats) -> Floats:
    p = softmax(margins)[np.arange(len(y)), y.astype(np.int64)]
    return np.asarray(-np.log(np.maximum(p, _SMALLEST)))


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective("logistic", 0.25, _logistic_base, _logistic, _logistic_losses),
        Objective("squared", 1.0, _squared_base, _squared, _squared_losses),
        Objective("softmax", 0.5, _softmax_base, _softmax, _softmax_losses),
    )
}


def quantised(values: Floats, bits: int) -> tuple[Integers, float]:
    """Values as integers of at most 2^bits in magnitude, and what one unit is worth: a power of two, so scaling is exact."""
    largest = float(np.abs(values).max(initial=0.0))
    exponent = int(np.frexp(largest)[1]) - bits
    return np.rint(np.ldexp(values, -exponent)).astype(np.int64), float(np.ldexp(1.0, exponent))
