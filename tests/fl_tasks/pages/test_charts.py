"""Pictures: all inside their frames whatever the numbers, every point reachable, and texts of others stay texts."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.fl_tasks.pages.charts import Axis, Curve, Point, bars, cell_bars, curves, losses

NUMBERS = st.floats(-1e9, 1e9, allow_nan=False)
HOSTILE = "<script>alert(1)</script>\" onload='x' & ]]>"


def circles(picture: str) -> list[ElementTree.Element]:
    return ElementTree.fromstring(picture).findall("{*}circle")


@given(st.lists(NUMBERS, min_size=1, max_size=8))
def test_ticks_are_round_and_enclose_the_values(values):
    axis = Axis.around(values)
    assert 3 <= len(axis.ticks) <= 8
    assert list(axis.ticks) == sorted(axis.ticks) and len(set(axis.ticks.values())) == len(axis.ticks)
    assert all(-1e-9 <= axis.at(value) <= 1 + 1e-9 for value in values)


def test_a_series_that_does_not_change_lies_in_the_middle():
    assert list(Axis.around([0.4, 0.4, 0.4]).ticks.values()) == ["0.3", "0.35", "0.4", "0.45", "0.5"]
    for value in (1000.0, 0.0, -1e-12):
        assert Axis.around([value]).at(value) == pytest.approx(0.5, abs=0.2)


def test_powers_of_ten_are_evenly_spaced():
    axis = Axis.powers([0.03, 700.0])
    assert list(axis.ticks.values()) == ["0.01", "0.1", "1", "10", "100", "1,000"]
    assert [axis.at(value) for value in axis.ticks] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])


@pytest.mark.parametrize(
    ("last", "shown"), [(2, [1, 2]), (12, [1, 2, 4, 6, 8, 10, 12]), (95, [1, 10, 20, 30, 40, 50, 60, 70, 80, 95])]
)
def test_counts_show_their_ends(last, shown):
    assert list(Axis.counting(last, "round").ticks) == shown


@pytest.mark.parametrize("inline", [False, True])
@given(st.lists(NUMBERS, min_size=1, max_size=60))
def test_a_curve_of_losses_stays_in_its_frame_and_has_all_rounds(inline, values):
    picture = losses(values, inline)
    width, height = map(int, ElementTree.fromstring(picture).get("viewBox").split()[2:])
    dots = circles(picture)
    assert len(dots) == len(values) and not any(dot.get("opacity") for dot in dots)
    assert all(0 <= float(dot.get("cx")) <= width and 0 <= float(dot.get("cy")) <= height for dot in dots)
    assert dots[-1][0].text == f"round {len(values)}: {values[-1]:.5g}"


def test_higher_losses_are_drawn_higher():
    heights = [float(dot.get("cy")) for dot in circles(losses([0.69, 0.4, 0.3, 0.25]))]
    assert heights == sorted(set(heights))


def test_a_long_curve_is_thinned_and_keeps_its_end():
    picture = losses([1 / (1 + index) for index in range(100_001)])
    assert len(picture) < 100_000 and "round 100001: " in picture
    assert {dot.get("opacity") for dot in circles(picture)} == {"0"}


def test_a_screen_reader_is_told_what_is_seen():
    alone, inline = (ElementTree.fromstring(losses([0.5, 0.25], one)) for one in (False, True))
    told = "Training loss: 0.5 after round 1, 0.25 after round 2"
    assert (alone.get("aria-label"), inline.get("aria-label")) == (told, f"{told}. Use the arrow keys to read the rounds between.")
    assert (alone.get("role"), inline.get("role"), inline.get("tabindex")) == ("img", "img", "0")
    assert alone.find("{*}rect").get("fill") == "#fff" and inline.find("{*}rect") is None


def test_curves_have_a_legend_and_hollow_points():
    lines = [
        Curve([Point(1, 10, "a tenth"), Point(2, 100, "all", hollow=True)], "long", "#123456"),
        Curve([(1, 20), (2, 30)], dashed=True),
    ]
    root = ElementTree.fromstring(curves(lines, Axis({1: "one", 2: "two"}, "steps"), Axis.powers([10, 100]), "Title"))
    assert {"long", "one", "two", "steps", "10", "100", "Title"} == {text.text for text in root.findall("{*}text")}
    first, second = root.findall("{*}polyline")
    assert (first.get("stroke"), first.get("stroke-dasharray"), second.get("stroke-dasharray")) == ("#123456", None, "4 4")
    full, hollow = root.findall("{*}circle")
    assert (full.get("fill"), hollow.get("fill"), hollow.get("stroke")) == ("#123456", "#fff", "#123456")
    assert [float(point.split(",")[0]) for point in first.get("points").split()] == [float(dot.get("cx")) for dot in (full, hollow)]


def test_a_value_is_written_beside_the_mark_that_it_would_meet():
    root = ElementTree.fromstring(bars({"near": 8.0, "far": 8.0}, Axis.powers([1, 100]), "Title", "told", {"near": 10, "far": 100}))
    near, far = (float(text.get("x")) for text in root.findall("{*}text") if text.text == "8.0")
    marks = [float(line.get("x1")) for line in root.findall("{*}line") if line.get("class") == "mark"]
    assert far < marks[0] < near < marks[1]


def test_texts_of_others_are_texts_in_pictures():
    axis = Axis({0.0: "0", 1.0: HOSTILE}, HOSTILE)
    for picture in (
        curves([Curve([Point(0, 0, HOSTILE), Point(1, 1)], HOSTILE, HOSTILE)], axis, axis, HOSTILE, HOSTILE),
        bars({HOSTILE: 1.0}, axis, HOSTILE, HOSTILE, {HOSTILE: 0.5}),
    ):
        root = ElementTree.fromstring(picture)
        assert root.get("aria-label") == HOSTILE
        assert [text.text for text in root.findall("{*}text")].count(HOSTILE) >= 4
        assert not root.findall(".//{*}script") and not [one for one in root.iter() if one.get("onload")]


def per_cent(drawn: str) -> tuple[float, float, float]:
    """Start and width of a cell's bar, and where its axis stands."""
    svg = ElementTree.fromstring(drawn)
    bar, axis = svg.findall("rect")[1], svg.find("line")
    return tuple(float(one.rstrip("%")) for one in (bar.get("x"), bar.get("width"), "0" if axis is None else axis.get("x1")))


@given(st.lists(NUMBERS, min_size=1, max_size=8))
def test_bars_of_cells_share_one_scale(values):
    drawn = [per_cent(one) for one in cell_bars(values)]
    widest = max(map(abs, values))
    for value, (start, width, zero) in zip(values, drawn, strict=True):
        assert start >= -0.01 and start + width <= 101.01
        assert zero == drawn[0][2]
        if widest:
            assert width == pytest.approx(abs(value) / widest * max(each for _, each, _ in drawn), abs=1)
        assert start == pytest.approx(zero if value >= 0 else zero - width, abs=1)


def test_an_axis_is_drawn_only_where_something_is_negative():
    assert "axis" in cell_bars([1, -1])[0] and "axis" not in cell_bars([1, 2])[0]


def test_a_bar_of_little_is_seen_and_one_of_nothing_is_not():
    assert [per_cent(one)[1] for one in cell_bars([1, 0, 1000])] == [1, 0, 100]
