"""Quality of a joint model from sums over clients' held-out rows.

The AUC comes from the numbers of positives and negatives in each of 256 bins of the score. Rows in one bin count as tied, so the
AUC is wrong by at most half the pairs that share a bin (``auc_error``). Bins have the same width in sigmoid(u / 3), which spreads
out the scores of strong and of weak models.
"""

from __future__ import annotations

import numpy as np

from tombolo.fl_tasks.learning.horizontal.columns import Floats
from tombolo.fl_tasks.learning.links import sigmoid
from tombolo.fl_tasks.learning.metrics import UnfitForMetrics
from tombolo.fl_tasks.learning.nets.losses import losses

BINS = 256
_SPREAD = 3.0
SIZES = {"binary": 3 + 2 * BINS, "number": 4, "classes": 3}
"""How many sums there are, by what is predicted."""
ERRORS: dict[str, dict[str, str]] = {"binary": {"auc_error": "auc"}, "number": {}, "classes": {}}
"""The bounds of errors that are given besides the usual metrics, each with the metric that it is about."""


def addends(outcome: str, labels: Floats, totals: Floats, label_scale: float) -> Floats:
    """What one client's held-out rows add to the sums; the first is their number.

    Shapes (n,), where n may be 0; totals of several classes (n, classes).

    Numbers are in units of the label's deviation over training rows.
    """
    if outcome == "number":
        y, errors = labels / label_scale, (totals - labels) / label_scale
        return np.array([len(y), y.sum(), (y * y).sum(), (errors * errors).sum()])
    if outcome == "classes":
        if not len(labels):
            return np.zeros(SIZES[outcome])
        right = totals.argmax(axis=1) == labels
        return np.array([len(labels), right.sum(), losses(outcome, totals, labels).sum()])
    correct = float(((totals > 0) == (labels > 0.5)).sum())
    loss = float((np.logaddexp(0.0, totals) - labels * totals).sum())
    bins = np.minimum((sigmoid(totals / _SPREAD) * BINS).astype(np.int64), BINS - 1)
    counts = [np.bincount(bins[labels == value], minlength=BINS) for value in (1.0, 0.0)]
    return np.concatenate([[len(labels), correct, loss], *counts])


def metrics(outcome: str, sums: Floats, label_scale: float) -> dict[str, float]:
    """The metrics of the outcome, in the order of :func:`tombolo.fl_tasks.learning.metrics.metric_names`, then :data:`ERRORS`.

    Raises :class:`UnfitForMetrics` if all labels are of one class or equal.
    """
    rows = sums[0]
    if outcome == "number":
        spread = sums[2] - sums[1] ** 2 / rows
        if spread <= 1e-9 * max(1.0, sums[2]):
            raise UnfitForMetrics("All labels are equal.")
        return {"rmse": float(np.sqrt(max(sums[3], 0.0) / rows) * label_scale), "r2": float(1.0 - sums[3] / spread)}
    if outcome == "classes":
        return {"accuracy": float(np.rint(sums[1]) / rows), "logloss": float(sums[2] / rows)}
    positive, negative = np.rint(sums[3 : 3 + BINS]), np.rint(sums[3 + BINS :])
    pairs = positive.sum() * negative.sum()
    if pairs < 1:
        raise UnfitForMetrics("All labels are of one class.")
    below = np.cumsum(negative) - negative
    hits, misses = np.cumsum(positive[::-1]) / positive.sum(), np.cumsum(negative[::-1]) / negative.sum()
    return {
        "auc": float((positive * (below + negative / 2)).sum() / pairs),
        "ks": float((hits - misses).max()),
        "accuracy": float(sums[1] / rows),
        "logloss": float(sums[2] / rows),
        "auc_error": float((positive * negative).sum() / pairs / 2),
    }
