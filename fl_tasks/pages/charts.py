"""The pictures of all pages, as SVG: curves over two axes, and bars on one scale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil, floor, log10
from typing import TYPE_CHECKING, NamedTuple

from tombolo.fl_tasks.pages.rendering import render

if TYPE_CHECKING:
    from markupsafe import Markup

BLUE, ORANGE, GREEN, GREY = "#1565c0", "#e07b00", "#2e7d32", "#999"
_LETTER, _LINE, _ROW = 6.5, 18, 26
"""In pixels: the approximate width of a letter, the height of a line of text, and the height of a bar with the space below it."""
_MOST_POINTS = 400


@dataclass(frozen=True)
class Axis:
    """A scale from its first tick to its last one. ``ticks`` has a label for each value, lowest value first."""

    ticks: Mapping[float, str]
    name: str = ""
    grid: bool = True
    logarithmic: bool = False

    @classmethod
    def around(cls, values: Sequence[float]) -> Axis:
        """An axis with about five round numbers. All values lie between the first and the last number."""
        low, high = min(values), max(values)
        largest = max(abs(low), abs(high))
        size = largest if largest > 1e-280 else 1.0
        if high - low < 1e-9 * size:
            low, high = low - size / 4, high + size / 4
        step = _round_step((high - low) / 5)
        first, last = floor(low / step), ceil(high / step)
        digits = max(4, floor(log10(size)) - floor(log10(step)) + 1)
        return cls({float(f"{at * step:.12g}"): f"{at * step:.{digits}g}" for at in range(first, last + 1)})

    @classmethod
    def counting(cls, last: int, name: str) -> Axis:
        """An axis over 1, 2, ... ``last``. About ten numbers have a label; the first and the last always do."""
        step = max(1, int(_round_step(last / 10)))
        inner = [at for at in range(step, last, step) if at > 1 and last - at >= step * 0.7]
        return cls({at: str(at) for at in (1, *inner, last)}, name, grid=False)

    @classmethod
    def powers(cls, values: Sequence[float]) -> Axis:
        """A logarithmic axis over the powers of ten around the values. All values must be above zero."""
        first, last = floor(log10(min(values))), ceil(log10(max(values)))
        powers = range(first, max(last, first + 1) + 1)
        return cls({10.0**power: f"{10.0**power:,.{max(0, -power)}f}" for power in powers}, logarithmic=True)

    def at(self, value: float) -> float:
        """The position of a value: 0 at the first tick, 1 at the last tick."""
        low, high, here = (log10(place) if self.logarithmic else place for place in (min(self.ticks), max(self.ticks), value))
        return (here - low) / ((high - low) or 1.0)


class Point(NamedTuple):
    """A point of a curve. It has a dot if it has a ``text``. A ``hollow`` dot marks a point of another kind."""

    x: float
    y: float
    text: str = ""
    hollow: bool = False


@dataclass(frozen=True)
class Curve:
    """Points from left to right, joined by a line. A curve with a name is in the picture's legend."""

    points: Sequence[Point | tuple[float, float]]
    name: str = ""
    colour: str = BLUE
    dashed: bool = False


@dataclass(frozen=True)
class _Frame:
    """The place of the axes in a picture, in pixels from the upper left corner. Around them is space for the labels."""

    width: int
    height: int
    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def within(cls, size: tuple[int, int], top: float, beside: Iterable[str], x: Axis, right: float = 0.0) -> _Frame:
        """A frame for a picture of ``size``. ``beside`` are the labels on the left; ``right`` is the least space on the right."""
        free = max(14 + _LETTER / 2 * max(map(len, x.ticks.values())), right)
        return cls(*size, 22 + _LETTER * max(map(len, beside), default=0), top, size[0] - free, size[1] - (44 if x.name else 26))

    def across(self, share: float) -> float:
        """The x coordinate at a share of the frame's width."""
        return round(self.left + share * (self.right - self.left), 1)

    def up(self, share: float) -> float:
        """The y coordinate at a share of the frame's height."""
        return round(self.bottom - share * (self.bottom - self.top), 1)


def curves(
    lines: Sequence[Curve], x: Axis, y: Axis, title: str, told: str = "", size: tuple[int, int] = (640, 340), inline: bool = False
) -> Markup:
    """A picture of some curves, ``size`` pixels wide and high. ``told`` is the text for a screen reader; default: the title.

    An ``inline`` picture is part of a page of the console. The page has a heading for it, sets its colours and reads out its dots.
    """
    starts = [0.0, *accumulate(48 + _LETTER * len(line.name) if line.name else 0.0 for line in lines)]
    placed = [(line, [Point(*point) for point in line.points], start) for line, start in zip(lines, starts, strict=False)]
    frame = _Frame.within(size, 12 + _LINE * (not inline) + _LINE * (starts[-1] > 0), y.ticks.values(), x)
    return render("curves.svg", frame=frame, lines=placed, x=x, y=y, title=title, told=told or title, inline=inline)


def losses(values: Sequence[float], inline: bool = False) -> Markup:
    """The training loss after each round (1, 2, ...); at least one value. A long series is thinned, but its last value is shown."""
    count = len(values)
    shown = [*range(0, count - 1, -(-count // _MOST_POINTS)), count - 1]
    line = Curve([Point(at + 1, values[at], f"round {at + 1}: {number(values[at])}") for at in shown])
    x, y, title = Axis.counting(max(2, count), "" if inline else "round"), Axis.around(values), "Training loss"
    told = f"{title}: {number(values[0])} after round 1, {number(values[-1])} after round {count}"
    told += ". Use the arrow keys to read the rounds between." if inline else ""
    return curves([line], x, y, title, told, (720, 240) if inline else (640, 320), inline)


def bars(values: Mapping[str, float], x: Axis, title: str, told: str, marks: Mapping[str, float]) -> Markup:
    """A picture with a horizontal bar and its value for each name. ``marks`` are red lines at the bars of the same names.

    A value below the first tick has no bar.
    """
    frame = _Frame.within((760, 66 + _ROW * len(values)), 40, values, x, right=70)
    return render("bars.svg", frame=frame, values=values, marks=marks, x=x, title=title, told=told, inline=False)


def cell_bars(values: Sequence[float]) -> list[Markup]:
    """Bars for table cells on one scale. Bars of negative values extend to the left of a common axis.

    A screen reader ignores the bars, because each cell also has the number.
    """
    low, high = min([0.0, *values]), max([0.0, *values])
    span = (high - low) or 1.0
    return [
        render("bar.svg", start=(min(0.0, value) - low) / span * 100, width=abs(value) / span * 100, zero=-low / span * 100)
        for value in values
    ]


def number(value: float) -> str:
    """A value with five significant digits."""
    return f"{value:.5g}"


def _round_step(least: float) -> float:
    """The first of 1, 2, 5, 10, 20, ... (or 0.5, 0.2, ...) that is at least ``least``."""
    size = 10.0 ** floor(log10(least))
    return next(digit * size for digit in (1, 2, 5, 10) if digit * size >= least)
