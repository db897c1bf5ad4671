"""From scores to probabilities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def sigmoid(logits: npt.ArrayLike) -> Floats:
    """1 / (1 + e^-u) without overflow; any shape."""
    u = np.asarray(logits, dtype=np.float64)
    small = np.exp(-np.abs(u))
    return np.where(u >= 0, 1.0, small) / (1.0 + small)


def softmax(margins: npt.ArrayLike) -> Floats:
    """Probabilities of classes, shape (n, classes)."""
    u = np.asarray(margins, dtype=np.float64)
    powers = np.exp(u - u.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
