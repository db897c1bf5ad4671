"""The console's charts as SVG that needs no script: a curve of losses, and bars that stand beside their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from markupsafe import Markup

WIDTH, HEIGHT = 720, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 12, 34
_MOST_POINTS = 400
_DOTS = 60


@dataclass(frozen=True)
class Bar:
    """A bar from ``start`` to ``start + width``, in per cent of its cell; ``zero`` is where the axis stands."""

    start: float
    width: float
    zero: float


def bars(values: Sequence[float]) -> list[Bar]:
    """Bars on one scale; values below zero grow to the left of a common axis."""
    low, high = min([0.0, *values]), max([0.0, *values])
    span = (high - low) or 1.0
    zero = -low / span * 100
    return [
        Bar(round(min(zero, (value - low) / span * 100), 3), round(abs(value) / span * 100, 3), round(zero, 3)) for value in values
    ]


def bar(one: Bar, series: str = "one") -> Markup:
    """The drawing of a bar; it says nothing to a screen reader, since the number stands beside it."""
    axis = Markup('<line class="axis" x1="{0}%" x2="{0}%" y1="0" y2="12"/>').format(one.zero) if one.zero else Markup()
    return Markup(
        '<svg class="bar" width="100%" height="12" aria-hidden="true" focusable="false">'
        '<rect class="track" width="100%" height="12" rx="2"/>'
        '<rect class="fill {}" x="{}%" width="{}%" height="12" rx="2"/>{}</svg>'
    ).format(series, one.start, max(one.width, 0.3 if one.width else 0), axis)


def curve(losses: Sequence[float]) -> Markup:
    """The loss after each round. ``losses`` must not be empty; a long series is thinned, its last value always shown."""
    rounds = _thinned(len(losses))
    low, high = min(losses), max(losses)
    ticks = _ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    last = max(2, len(losses))

    def x(round: float) -> float:
        return _LEFT + (round - 1) / (last - 1) * (WIDTH - _LEFT - _RIGHT)

    def y(loss: float) -> float:
        return _TOP + (high - loss) / ((high - low) or 1.0) * (HEIGHT - _TOP - _BOTTOM)

    parts = [
        Markup(
            '<svg class="curve" viewBox="0 0 {} {}" role="img" tabindex="0" data-curve aria-label="Training loss: {} after '
            'round 1, {} after round {}. Arrow keys read the rounds between.">'
        ).format(WIDTH, HEIGHT, number(losses[0]), number(losses[-1]), len(losses))
    ]
    for value in ticks:
        at = round(y(value), 1)
        parts.append(Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(_LEFT, WIDTH - _RIGHT, at, at))
        parts.append(Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(_LEFT - 8, at + 4, f"{value:.4g}"))
    for at in _marks(last):
        parts.append(Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(round(x(at), 1), HEIGHT - 14, at))
    points = [(at, round(x(at), 1), round(y(losses[at - 1]), 1)) for at in rounds]
    line = " ".join(f"{a},{b}" for _, a, b in points)
    parts.append(Markup('<polyline class="line" points="{}"/>').format(line))
    for at, a, b in points:
        label = f"round {at}: {number(losses[at - 1])}"
        dot = Markup('<circle class="{}" cx="{}" cy="{}" r="3" data-at="{}"><title>{}</title></circle>')
        parts.append(dot.format("dot" if len(points) <= _DOTS else "dot faint", a, b, label, label))
    parts.append(Markup("</svg>"))
    return Markup("\n").join(parts)


def number(value: float) -> str:
    """A value as people compare them: five significant digits."""
    return f"{value:.5g}"


def _thinned(count: int) -> list[int]:
    step = -(-count // _MOST_POINTS)
    rounds = list(range(1, count + 1, step))
    return rounds if rounds[-1] == count else [*rounds, count]


def _ticks(low: float, high: float) -> list[float]:
    """Four or so round numbers around a range."""
    span = (high - low) or abs(high) or 1.0
    step = _round_step(max(span / 4, 1e-300))
    return [round(index * step, 12) for index in range(floor(low / step), ceil(high / step) + 1)]


def _round_step(least: float) -> float:
    """The first of 1, 2, 5, 10, 20, ... (or 0.5, 0.2, ...) that is at least ``least``."""
    size = 10.0 ** floor(log10(least))
    return next(one * size for one in (1, 2, 5, 10) if one * size >= least)


def _marks(last: int) -> Iterable[int]:
    """Rounds to write below the axis, the first and the last among them."""
    step = max(1, int(_round_step(last / 10)))
    inner = [at for at in range(step, last, step) if at > 1 and last - at >= step * 0.7]
    return [1, *inner, last]
