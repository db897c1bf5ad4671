"""Gains: the curve of the best, the worst and no ranking, ties, and a picture that is well formed."""

from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.fl_tasks.learning.gains import SHARES, gains, gains_picture, lift


def test_a_perfect_ranking_finds_all_positives_first():
    labels = np.array([1] * 20 + [0] * 80)
    found = gains(labels, -np.arange(100.0))
    assert found == pytest.approx(np.minimum(np.array(SHARES) * 5, 1))
    assert lift(found) == pytest.approx(5.0)


def test_a_reversed_ranking_finds_them_last():
    found = gains(np.array([0] * 80 + [1] * 20), -np.arange(100.0))
    assert lift(found) == 0.0 and found[-1] == 1.0 and found[SHARES.index(0.8)] == 0.0


def test_equal_scores_are_a_random_order():
    assert gains(np.array([1, 0, 0, 1, 0]), np.zeros(5)) == pytest.approx(SHARES)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=1, max_size=80), st.randoms(use_true_random=False))
def test_the_curve_rises_from_nothing_to_all_whatever_the_order_of_rows(rows, random):
    rows = [*rows, (1, 0)]
    found = gains(*np.array(rows, dtype=float).T)
    assert found[0] == 0.0 and found[-1] == pytest.approx(1.0)
    assert (np.diff(found) >= -1e-12).all()
    random.shuffle(rows)
    assert gains(*np.array(rows, dtype=float).T) == pytest.approx(found)


def test_the_picture_has_a_line_and_a_name_for_every_curve():
    found = gains(np.array([1, 0, 1, 0, 0]), np.array([5.0, 4, 3, 2, 1]))
    tree = ElementTree.fromstring(gains_picture({"together": found, "alone": SHARES}, "Gains"))
    assert (
        tree.get("aria-label") == f"Gains: together {found[SHARES.index(0.1)]:.0%} in the best tenth; alone 10% in the best tenth"
    )
    space = "{http://www.w3.org/2000/svg}"
    curves = [line.get("points").split() for line in tree.findall(f"{space}polyline")]
    assert [len(points) for points in curves] == [len(SHARES)] * 3
    names = [text.text for text in tree.findall(f"{space}text")]
    assert {"Gains", "together", "alone", "at random"} <= set(names)
    heights = [float(point.split(",")[1]) for point in curves[1]]
    assert heights == sorted(heights, reverse=True)
