"""The benchmarks' pictures: ratios as bars with their targets, and how a round's cost grows with its rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tombolo.fl_tasks.pages.charts import BLUE, GREEN, ORANGE, Axis, Curve, Point, bars, curves


def ratio_chart(found: Mapping[str, float], targets: Mapping[str, float]) -> str:
    """An SVG of how many times as fast we are; ratios below 1 get no bar but keep their number."""
    title = "Times as fast as the other side"
    named, marks = ({name.replace("_", " "): ratio for name, ratio in each.items()} for each in (found, targets))
    told = "; ".join(f"{name} {ratio:.1f}" for name, ratio in named.items())
    x = Axis.powers([1.0, 10.0, *(max(1.0, ratio) for ratio in (*found.values(), *targets.values()))])
    return bars(named, x, f"{title}; a red line is the target", f"{title}: {told}", marks)


def growth_chart(cells: list[Mapping[str, Any]], slopes: Mapping[int, float], title: str) -> str:
    """CPU seconds over rows as an SVG, both logarithmic, a line for each number of features; ``slopes`` are by number of features.

    Hollow marks are cells of which a part was measured.
    """
    lines = []
    for (features, slope), colour in zip(sorted(slopes.items(), reverse=True), (BLUE, ORANGE, GREEN), strict=True):
        line = [cell for cell in cells if cell["features"] == features]
        points = [Point(cell["rows"], cell["seconds"], f"{cell['seconds']:,.1f} seconds", cell["measured"] < 1) for cell in line]
        lines.append(Curve(points, f"{features} features, slope {slope:.2f}", colour))
    scaled = any(cell["measured"] < 1 for cell in cells)
    name = "rows; hollow: scaled from a part of the columns" if scaled else "rows"
    x = Axis({rows: f"{rows:,}" for rows in sorted({cell["rows"] for cell in cells})}, name, logarithmic=True)
    return curves(lines, x, Axis.powers([cell["seconds"] for cell in cells]), title, size=(720, 400))
