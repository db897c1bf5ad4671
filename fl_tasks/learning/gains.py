"""Gains of a model of a binary label: how many of the positives are among the rows with the highest scores; numbers and picture.

The curve is an aggregate over all held-out rows. It stays with the label holder, in its registry, card and reports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

SHARES = tuple(step / 20 for step in range(21))
"""The shares of rows, highest scores first, at which a curve is taken."""
TOP = 0.1
PICTURE = "gains.svg"
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 560, 440, 60, 20, 30, 50
_STROKES = ('stroke="#999" stroke-dasharray="4 4"', 'stroke="#1565c0"', 'stroke="#e07b00"')


def gains(labels: npt.ArrayLike, scores: npt.ArrayLike) -> list[float]:
    """Share of the positives that the best ``SHARES`` of rows hold, from 0 to 1; labels 0 or 1 and scores of shape (n,).

    Rows of equal scores count as if in random order. There must be a positive label.
    """
    y, s = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    order = np.argsort(-s, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(s[order])) + 1, len(s))
    found = np.append(0.0, np.cumsum(y[order])[ends - 1]) / y.sum()
    return [float(share) for share in np.interp(SHARES, np.append(0, ends) / len(s), found)]


def lift(found: Sequence[float]) -> float:
    """How many times more positives the best tenth of rows holds than a tenth picked at random; ``found`` as from :func:`gains`."""
    return found[SHARES.index(TOP)] / TOP


def gains_picture(curves: Mapping[str, Sequence[float]], title: str) -> str:
    """An SVG of one or two curves by name, with the diagonal of a random choice."""
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def at(share: float, found: float) -> str:
        return f"{_LEFT + share * width:.1f},{_TOP + (1 - found) * height:.1f}"

    told = "; ".join(f"{name} {found[SHARES.index(TOP)]:.0%} in the best tenth" for name, found in curves.items())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="{title}: {told}">',
        "<style>text{font:12px system-ui,sans-serif;fill:#444}.grid{stroke:#ddd}polyline{fill:none;stroke-width:2}</style>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="18">{title}</text>',
    ]
    for step in range(6):
        share = step / 5
        x, y = _LEFT + share * width, _TOP + (1 - share) * height
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>')
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{share:.0%}</text>')
    lines = {"at random": SHARES, **curves}
    for row, ((name, found), stroke) in enumerate(zip(lines.items(), _STROKES, strict=False)):
        points = " ".join(at(share, one) for share, one in zip(SHARES, found, strict=True))
        y = _HEIGHT - _BOTTOM - 18 * (len(lines) - row) + 4
        parts.append(f'<polyline points="{points}" {stroke}/>')
        parts.append(f'<polyline points="{_WIDTH - 170},{y - 4} {_WIDTH - 146},{y - 4}" {stroke}/>')
        parts.append(f'<text x="{_WIDTH - 138}" y="{y}">{name}</text>')
    parts.append(f'<text x="{_LEFT + width / 2:.0f}" y="{_HEIGHT - 10}" text-anchor="middle">share of rows, best first</text>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"
