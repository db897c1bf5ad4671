"""What a metric may be after it was rounded to the digits that its rows support."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tombolo.fl_tasks.learning.rounding import digits, unit


def slack(value: float, rows: int) -> float:
    """How far rounding moves a value at most."""
    return unit(value, digits(rows)) / 2


def rounded(expected: float | Mapping[str, float], rows: int, tolerance: float = 1e-6) -> Any:
    """Compares equal to metrics that come from these by an error of ``tolerance`` and by rounding."""
    if isinstance(expected, Mapping):
        return {name: rounded(value, rows, tolerance) for name, value in expected.items()}
    return pytest.approx(expected, abs=tolerance + slack(expected, rows))
