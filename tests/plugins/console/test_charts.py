"""Charts: every bar within its cell and on one scale, every round of a curve reachable, whatever the numbers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.plugins.console.charts import HEIGHT, WIDTH, bar, bars, curve

NUMBERS = st.floats(-1e9, 1e9, allow_nan=False)


@given(st.lists(NUMBERS, min_size=1, max_size=8))
def test_bars_share_one_scale(values):
    drawn = bars(values)
    widest = max(map(abs, values))
    for value, one in zip(values, drawn, strict=True):
        assert one.start >= -0.01 and one.start + one.width <= 100.01
        assert one.zero == drawn[0].zero
        if widest:
            assert one.width == pytest.approx(abs(value) / widest * max(each.width for each in drawn), abs=0.01)
        assert one.start == pytest.approx(one.zero if value >= 0 else one.zero - one.width, abs=0.01)


def test_an_axis_is_drawn_only_where_something_is_negative():
    assert "axis" in bar(bars([1, -1])[0]) and "axis" not in bar(bars([1, 2])[0])


@given(st.lists(NUMBERS, min_size=1, max_size=60))
def test_a_curve_stays_in_its_frame_and_has_all_rounds(losses):
    text = curve(losses)
    dots = re.findall(r'<circle class="dot" cx="([^"]+)" cy="([^"]+)"', text)
    assert len(dots) == len(losses)
    assert all(0 <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT for x, y in dots)
    assert f"<title>round {len(losses)}: {losses[-1]:.5g}</title>" in text


def test_a_long_curve_is_thinned_and_keeps_its_end():
    text = curve([1 / (1 + index) for index in range(100_001)])
    assert len(text) < 100_000 and "round 100001: " in text and "dot faint" in text
