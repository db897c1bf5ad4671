"""Finding the best split of a node from the sums of g and h per bin, by XGBoost's rules.

Each column is scanned from the lowest bin up, with missing values on the right; the last candidate is "all present | missing". If
the node has missing values in the column, it is also scanned from the highest bin down, with missing values on the left. Gains are
compared in single precision. Only a larger gain replaces an earlier one, so ties go to the lower cut and the earlier column.
Sums are exact integers; ``units`` says what one unit is worth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Sums = npt.NDArray[np.int64]
Singles = npt.NDArray[np.float32]
_SMALLEST_GAIN = 1e-6
Pair = tuple[int, int]


@dataclass(frozen=True)
class Rules:
    """lambda, gamma, and the least sum of h on either side of a split."""

    penalty: float
    gamma: float
    least: float

    def weight(self, sums: Pair, units: tuple[float, float]) -> float:
        """The value that minimises the second-order loss over a node: -G / (H + lambda)."""
        g, h = sums[0] * units[0], sums[1] * units[1]
        return -g / (h + self.penalty) if h > 0 else 0.0

    def score(self, g: npt.NDArray[np.float64], h: npt.NDArray[np.float64]) -> Singles:
        """G^2 / (H + lambda), in single precision; 0 without curvature."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(h > 0, g * g / (h + self.penalty), 0.0).astype(np.float32)


@dataclass(frozen=True)
class Split:
    """Bins up to ``cut`` go left, and missing values if ``missing_left``; ``left`` are the integer sums there."""

    column: int
    cut: int
    missing_left: bool
    gain: float
    left: Pair


def best_splits(sums: Sums, total: Pair, units: tuple[float, float], rules: Rules) -> list[Split]:
    """The best split of a node, and after it the best split of every later column with the same gain.

    ``sums`` has shape (columns, 1 + bins, 2), bin 0 for missing values. Empty if no split gains enough.
    """
    if not len(sums):
        return []
    present = np.cumsum(sums[:, 1:], axis=1)
    whole = np.array(total, dtype=np.int64)
    up = _gains(present, whole, units, rules)
    down = _gains(sums[:, :1] + np.concatenate([np.zeros_like(present[:, :1]), present[:, :-1]], axis=1), whole, units, rules)
    down[~sums[:, 0].any(axis=1)] = -np.inf
    down = down[:, ::-1]
    columns = np.arange(len(sums))
    at_up, at_down = up.argmax(axis=1), down.argmax(axis=1)
    best_up, best_down = up[columns, at_up], down[columns, at_down]
    best = np.maximum(best_up, best_down)
    top = best.max()
    if not (top > _SMALLEST_GAIN and top >= rules.gamma):
        return []
    splits = []
    for column in np.flatnonzero(best == top).tolist():
        missing_left = bool(best_down[column] > best_up[column])
        cut = present.shape[1] - 1 - int(at_down[column]) if missing_left else int(at_up[column]) + 1
        left = sums[column, 1 : cut + 1].sum(axis=0) + (sums[column, 0] if missing_left else 0)
        splits.append(Split(column, cut, missing_left, float(top), (int(left[0]), int(left[1]))))
    return splits


def _gains(left: Sums, whole: Sums, units: tuple[float, float], rules: Rules) -> Singles:
    """Gains of all candidates with these sums on the left, shape (columns, candidates); -inf where a side is too light."""
    scale = np.array(units)
    low, high, both = left * scale, (whole - left) * scale, whole * scale
    gains = rules.score(low[..., 0], low[..., 1]) + rules.score(high[..., 0], high[..., 1]) - rules.score(both[0], both[1])
    light = (low[..., 1] < rules.least) | (high[..., 1] < rules.least)
    return np.where(light, np.float32(-np.inf), gains).astype(np.float32)
