"""How many digits of a number leave a party: those that the rows support, and no more. More digits would only tell about rows."""

from __future__ import annotations

import math
from collections.abc import Mapping

PROGRESS_DIGITS = 4
"""The significant digits of a training loss that is sent to be shown."""
_FEWEST, _MOST = 2, 4


def digits(rows: int) -> int:
    """The significant digits of an average over this many rows.

    The standard error of an average over n rows is about 1/sqrt(n), so that later digits are chance. One digit more than that is
    kept: 3 for 1,000 rows, 4 for more than 10,000. There are 2 at least and 4 at most.
    """
    return min(max(math.ceil(math.log10(math.sqrt(max(1, rows)))) + 1, _FEWEST), _MOST)


def significant(value: float, count: int) -> float:
    """The value rounded to this many significant digits."""
    return float(f"{value:.{count - 1}e}") if math.isfinite(value) else value


def unit(value: float, count: int) -> float:
    """One in the last of so many significant digits of the value; 0 for 0."""
    return 10.0 ** (math.floor(math.log10(abs(value))) - count + 1) if value else 0.0


def shown(loss: float) -> float:
    """A training loss as it is sent to a party that only shows it."""
    return significant(loss, PROGRESS_DIGITS)


def supported(metrics: Mapping[str, float], rows: int, errors: Mapping[str, str] | None = None) -> dict[str, float]:
    """Metrics with the digits that their rows support.

    ``errors`` names bounds of errors, and the metric that each is about. Such a bound grows by what rounding the metric may have
    moved, and is rounded up.
    """
    count = digits(rows)
    rounded = {name: significant(value, count) for name, value in metrics.items()}
    for bound, metric in (errors or {}).items():
        least = metrics[bound] + unit(rounded[metric], count) / 2
        rounded[bound] = significant(least + unit(least, count) / 2, count)
    return rounded
