"""The chart of :mod:`benchmarks.growth`: CPU seconds over rows, both logarithmic, a line per number of features."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 400, 64, 190, 40, 52
_COLOURS = ("#1565c0", "#e07b00", "#2e7d32")


def chart(cells: list[Mapping[str, Any]], slopes: Mapping[int, float], title: str) -> str:
    """The picture as SVG. Hollow marks are cells of which a part was measured; ``slopes`` are by number of features."""
    rows, seconds = [cell["rows"] for cell in cells], [cell["seconds"] for cell in cells]
    low, high = math.floor(math.log10(min(seconds))), math.ceil(math.log10(max(seconds)))
    first, last = math.log10(min(rows)), math.log10(max(rows))

    def x(value: float) -> float:
        return _LEFT + (math.log10(value) - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (math.log10(value) - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="{title}">',
        "<style>text{font:12px system-ui,sans-serif;fill:#444}.grid{stroke:#ddd}polyline{fill:none;stroke-width:2}</style>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="20">{title}</text>',
    ]
    for power in range(low, high + 1):
        at = y(10.0**power)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:,g}</text>')
    for value in sorted(set(rows)):
        at = x(value)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>')
        parts.append(f'<text x="{at:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{value:,}</text>')
    parts.append(f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 12}" text-anchor="middle">rows</text>')
    if any(cell["measured"] < 1 for cell in cells):
        parts.append(
            f'<text x="{_WIDTH - 12}" y="{_HEIGHT - 12}" text-anchor="end">hollow: scaled from a part of the columns</text>'
        )
    for (features, slope), colour in zip(sorted(slopes.items(), reverse=True), _COLOURS, strict=True):
        line = [cell for cell in cells if cell["features"] == features]
        points = " ".join(f"{x(cell['rows']):.1f},{y(cell['seconds']):.1f}" for cell in line)
        parts.append(f'<polyline points="{points}" stroke="{colour}"/>')
        for cell in line:
            inside = colour if cell["measured"] == 1 else "#fff"
            mark = f'cx="{x(cell["rows"]):.1f}" cy="{y(cell["seconds"]):.1f}" r="4"'
            parts.append(f'<circle {mark} fill="{inside}" stroke="{colour}" stroke-width="2"/>')
        label = f"{features} features, slope {slope:.2f}"
        parts.append(f'<text x="{_WIDTH - _RIGHT + 12}" y="{y(line[-1]["seconds"]) + 4:.1f}">{label}</text>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"
