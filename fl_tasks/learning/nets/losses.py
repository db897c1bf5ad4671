"""Losses by what is predicted: half the squared error of a number, log-loss of a binary label or of one of several classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.learning.links import sigmoid, softmax

Floats = npt.NDArray[np.float64]


def losses(outcome: str, outputs: Floats, labels: Floats) -> Floats:
    """Every row's loss, shape (n,); ``outputs`` (n, 1), or (n, classes) of several classes, ``labels`` (n,)."""
    if outcome == "classes":
        shifted = outputs - outputs.max(axis=1, keepdims=True)
        return np.asarray(np.log(np.exp(shifted).sum(axis=1)) - np.take_along_axis(shifted, _column(labels), axis=1)[:, 0])
    u = outputs[:, 0]
    return np.asarray((u - labels) ** 2 / 2 if outcome == "number" else np.logaddexp(0.0, u) - labels * u)


def slopes(outcome: str, outputs: Floats, labels: Floats) -> Floats:
    """Derivatives of every row's loss by its outputs, shape of ``outputs``."""
    if outcome == "classes":
        return np.asarray(softmax(outputs) - (_column(labels) == np.arange(outputs.shape[1])))
    predicted = outputs if outcome == "number" else sigmoid(outputs)
    return np.asarray(predicted - labels[:, None])


def _column(labels: Floats) -> npt.NDArray[np.int64]:
    return labels.astype(np.int64)[:, None]
