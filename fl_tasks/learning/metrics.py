"""Quality of a model on held-out rows, and the drift of its scores; equal to scikit-learn's numbers, without importing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.learning.links import sigmoid, softmax
from tombolo.fl_tasks.learning.rounding import significant
from tombolo.storage.errors import CodedError

Floats = npt.NDArray[np.float64]
CLASSIFICATION = ("auc", "ks", "accuracy", "logloss")
REGRESSION = ("rmse", "r2")
CLASSES = ("accuracy", "logloss")
HIGHER_IS_BETTER = {"auc": True, "ks": True, "accuracy": True, "logloss": False, "rmse": False, "r2": True}
NOTICEABLE_DRIFT = 0.25
"""Population stability index above which a change of scores is called drift (the rule of thumb of credit scoring)."""


class UnfitForMetrics(CodedError):
    code = "TMB-MODEL-001"
    cause = "The quality of the model cannot be computed from the labelled rows."
    remedy = "Hold out more rows (`test_fraction` or a split file): they must have both classes, or different labels."


def classification(labels: npt.ArrayLike, logits: npt.ArrayLike) -> dict[str, float]:
    """AUC, KS, accuracy at probability 1/2 and mean log-loss of logits against labels 0 or 1; shapes (n,).

    Raises :class:`UnfitForMetrics` if a class has no row.
    """
    y, u = np.asarray(labels, dtype=np.float64), np.asarray(logits, dtype=np.float64)
    positives = float(y.sum())
    negatives = len(y) - positives
    if positives < 1 or negatives < 1:
        raise UnfitForMetrics("All labels are of one class.")
    true_rate, false_rate = _rates(y, u)
    return {
        "auc": float(np.trapezoid(true_rate, false_rate)),
        "ks": float(np.max(true_rate - false_rate)),
        "accuracy": float(np.mean((u > 0) == (y > 0.5))),
        "logloss": float(np.mean(np.logaddexp(0.0, u) - y * u)),
    }


def regression(labels: npt.ArrayLike, predictions: npt.ArrayLike) -> dict[str, float]:
    """Root mean squared error and R2 of predictions against labels; shapes (n,). Raises :class:`UnfitForMetrics`."""
    y, p = np.asarray(labels, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    spread = float(np.sum((y - y.mean()) ** 2)) if len(y) else 0.0
    if spread == 0.0:
        raise UnfitForMetrics("All labels are equal.")
    errors = float(np.sum((p - y) ** 2))
    return {"rmse": float(np.sqrt(errors / len(y))), "r2": 1.0 - errors / spread}


def several_classes(labels: npt.ArrayLike, margins: npt.ArrayLike) -> dict[str, float]:
    """Accuracy of the likeliest class and mean log-loss; labels 0, 1, ... of shape (n,), margins of shape (n, classes)."""
    y, u = np.asarray(labels, dtype=np.int64), np.asarray(margins, dtype=np.float64)
    if not len(y):
        raise UnfitForMetrics("There are no rows.")
    losses = np.log(softmax(u)[np.arange(len(y)), y] + 1e-300)
    return {"accuracy": float(np.mean(u.argmax(axis=1) == y)), "logloss": float(-losses.mean())}


def measure(outcome: str, labels: npt.ArrayLike, scores: npt.ArrayLike) -> dict[str, float]:
    """The metrics for what is predicted: a number, the logit of a binary label, or the margins of several classes."""
    return _MEASURES[outcome](labels, scores)


def metric_names(outcome: str) -> tuple[str, ...]:
    """Names of the metrics that :func:`measure` returns, in order."""
    return {"number": REGRESSION, "binary": CLASSIFICATION, "classes": CLASSES}[outcome]


def presented(outcome: str, totals: npt.ArrayLike) -> Floats:
    """Total scores as a recipient reads them, shape (n,): the number, or the probability of 1 or of the likeliest class."""
    if outcome == "classes":
        return np.asarray(softmax(totals).max(axis=1))
    return np.asarray(totals, dtype=np.float64) if outcome == "number" else sigmoid(totals)


_MEASURES = {"number": regression, "binary": classification, "classes": several_classes}


def _rates(y: Floats, u: Floats) -> tuple[Floats, Floats]:
    """True and false positive rates at every distinct threshold, from (0, 0) to (1, 1): the ROC curve with ties as one step."""
    order = np.argsort(-u, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(u[order])), len(u) - 1)
    hits = np.cumsum(y[order])[ends]
    misses = 1.0 + ends - hits
    return np.append(0.0, hits / hits[-1]), np.append(0.0, misses / misses[-1])


@dataclass(frozen=True)
class Histogram:
    """Shares of scores between ``edges`` (k-1 inner edges, k shares); the reference against which later scores are compared."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]

    @classmethod
    def of(cls, scores: npt.ArrayLike, bins: int = 10) -> Histogram:
        """Bins that each hold the same number of these scores; fewer bins if scores repeat."""
        s = np.asarray(scores, dtype=np.float64)
        inner = np.unique(np.quantile(s, np.arange(1, bins) / bins))
        return cls(tuple(float(edge) for edge in inner), cls._shares(inner, s))

    def rounded(self, scores: npt.ArrayLike, count: int) -> Histogram:
        """The same for others to keep: edges and shares of these scores have ``count`` significant digits."""
        inner = np.unique([significant(edge, count) for edge in self.edges])
        shares = self._shares(inner, np.asarray(scores, dtype=np.float64))
        return Histogram(tuple(float(edge) for edge in inner), tuple(significant(share, count) for share in shares))

    @staticmethod
    def _shares(inner: Floats, scores: Floats) -> tuple[float, ...]:
        counts = np.bincount(np.searchsorted(inner, scores, side="left"), minlength=len(inner) + 1)
        return tuple(float(share) for share in counts / max(1, len(scores)))

    def stability(self, scores: npt.ArrayLike) -> float:
        """Population stability index of other scores: sum of (p - q) ln(p / q) over the bins, with empty bins at 1e-4."""
        s = np.asarray(scores, dtype=np.float64)
        q, p = np.asarray(self.shares), np.asarray(self._shares(np.asarray(self.edges), s))
        q, p = np.maximum(q, 1e-4), np.maximum(p, 1e-4)
        return float(np.sum((p - q) * np.log(p / q)))

    def document(self) -> dict[str, Any]:
        """The histogram as JSON."""
        return {"edges": list(self.edges), "shares": list(self.shares)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Histogram:
        """Inverse of :meth:`document`."""
        return cls(tuple(map(float, document["edges"])), tuple(map(float, document["shares"])))
