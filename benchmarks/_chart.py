"""A picture of ratios: a bar each on a logarithmic scale, with a mark where its target is."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from math import ceil, log10

_WIDTH, _LEFT, _RIGHT, _TOP, _ROW, _BAR = 760, 260, 70, 40, 26, 16


def picture(ratios: Mapping[str, float], targets: Mapping[str, float]) -> str:
    """An SVG of how many times as fast we are; ratios below 1 get no bar but keep their number."""
    height = _TOP + _ROW * len(ratios) + 40
    decades = max(1, ceil(log10(max([10.0, *ratios.values(), *targets.values()]))))

    def x(value: float) -> float:
        return round(_LEFT + max(0.0, log10(value)) / decades * (_WIDTH - _LEFT - _RIGHT), 1)

    told = "; ".join(f"{escape(name)} {ratio:.1f}" for name, ratio in ratios.items())
    bottom = _TOP + _ROW * len(ratios)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" role="img" '
        f'aria-label="Times as fast as the other side: {told}">',
        "<style>text{font:12px system-ui,sans-serif;fill:#444}.grid{stroke:#ddd}.target{stroke:#c62828;stroke-width:2}</style>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="18">Times as fast as the other side; a red line is the target</text>',
    ]
    for decade in range(decades + 1):
        at = x(10.0**decade)
        parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{_TOP - 10}" y2="{bottom}"/>')
        parts.append(f'<text x="{at}" y="{bottom + 18}" text-anchor="middle">{10**decade:,}</text>')
    for row, (name, ratio) in enumerate(ratios.items()):
        y = _TOP + _ROW * row
        width = round(x(max(ratio, 1e-9)) - _LEFT, 1)
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(name.replace("_", " "))}</text>')
        parts.append(f'<rect x="{_LEFT}" y="{y}" width="{width}" height="{_BAR}" fill="#1565c0"/>')
        parts.append(f'<text x="{_LEFT + width + 6}" y="{y + 13}">{ratio:,.1f}</text>')
        if name in targets:
            at = x(targets[name])
            parts.append(f'<line class="target" x1="{at}" x2="{at}" y1="{y - 3}" y2="{y + _BAR + 3}"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"
