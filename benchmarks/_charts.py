"""The pictures of the benchmarks: ratios as bars with their targets, and the cost of a round by its number of rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tombolo.fl_tasks.pages.charts import BLUE, GREEN, ORANGE, Axis, Curve, Point, bars, curves


def ratio_chart(found: Mapping[str, float], targets: Mapping[str, float]) -> str:
    """An SVG of the ratios of speed. A ratio below 1 has no bar, only its number."""
    title = "Times as fast as the other software"
    named, marks = ({name.replace("_", " "): ratio for name, ratio in each.items()} for each in (found, targets))
    told = "; ".join(f"{name} {ratio:.1f}" for name, ratio in named.items())
    x = Axis.powers([1.0, 10.0, *(max(1.0, ratio) for ratio in (*found.values(), *targets.values()))])
    return bars(named, x, f"{title}; a red line is the target", f"{title}: {told}", marks)


def growth_chart(cells: list[Mapping[str, Any]], slopes: Mapping[int, float], title: str) -> str:
    """An SVG of CPU seconds over rows, both logarithmic, with a line and a slope for each number of features.

    Hollow marks are cells of which only a part was measured.
    """
    lines = []
    for (features, slope), colour in zip(sorted(slopes.items(), reverse=True), (BLUE, ORANGE, GREEN), strict=True):
        line = [cell for cell in cells if cell["features"] == features]
        points = [Point(cell["rows"], cell["seconds"], f"{cell['seconds']:,.1f} seconds", cell["measured"] < 1) for cell in line]
        lines.append(Curve(points, f"{features} features, slope {slope:.2f}", colour))
    scaled = any(cell["measured"] < 1 for cell in cells)
    name = "rows; hollow points are scaled from a part of the columns" if scaled else "rows"
    x = Axis({rows: f"{rows:,}" for rows in sorted({cell["rows"] for cell in cells})}, name, logarithmic=True)
    return curves(lines, x, Axis.powers([cell["seconds"] for cell in cells]), title, size=(720, 400))
