"""Gains of a model of a binary label: how many of the positives are among the rows with the highest scores; numbers and picture.

The curve is an aggregate over all held-out rows. It stays with the label holder, in its registry, card and reports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.pages import charts
from tombolo.fl_tasks.pages.charts import BLUE, GREY, ORANGE, Axis, Curve

SHARES = tuple(step / 20 for step in range(21))
"""The shares of rows, highest scores first, at which a curve is taken."""
TOP = 0.1
PICTURE = "gains.svg"


def gains(labels: npt.ArrayLike, scores: npt.ArrayLike) -> list[float]:
    """The share of all positives, 0 to 1, in each of ``SHARES`` of the rows, best first; labels 0 or 1 and scores of shape (n,).

    Rows of equal scores count as if in random order. There must be a positive label.
    """
    y, s = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    order = np.argsort(-s, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(s[order])) + 1, len(s))
    held = np.append(0.0, np.cumsum(y[order])[ends - 1]) / y.sum()
    return [float(share) for share in np.interp(SHARES, np.append(0, ends) / len(s), held)]


def lift(found: Sequence[float]) -> float:
    """How many times more positives the best tenth of rows has than a random tenth; ``found`` comes from :func:`gains`."""
    return found[SHARES.index(TOP)] / TOP


def gains_picture(curves: Mapping[str, Sequence[float]], title: str) -> str:
    """An SVG of one or two curves by name, with the diagonal of a random choice."""
    summary = "; ".join(f"{name} {curve[SHARES.index(TOP)]:.0%} in the best tenth" for name, curve in curves.items())
    lines = [Curve(list(zip(SHARES, SHARES, strict=True)), "at random", GREY, dashed=True)]
    for (name, curve), colour in zip(curves.items(), (BLUE, ORANGE), strict=False):
        lines.append(Curve(list(zip(SHARES, curve, strict=True)), name, colour))
    shares = {step / 5: f"{step / 5:.0%}" for step in range(6)}
    return charts.curves(lines, Axis(shares, "share of rows, best first"), Axis(shares), title, f"{title}: {summary}", (560, 440))
