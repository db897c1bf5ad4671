"""Rounding to the digits that rows support."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.fl_tasks.learning.metrics import Histogram
from tombolo.fl_tasks.learning.rounding import digits, shown, significant, supported, unit

VALUES = st.floats(-1e9, 1e9).filter(lambda value: value == 0 or abs(value) > 1e-9)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(0, 2), (1, 2), (2, 2), (100, 2), (101, 3), (1_000, 3), (10_000, 3), (10_001, 4), (1_000_000, 4), (10**9, 4)],
)
def test_the_digits_of_rows(rows, expected):
    assert digits(rows) == expected


def test_significant_digits():
    assert significant(0.123456, 3) == 0.123
    assert significant(-123456.0, 2) == -120000.0
    assert significant(0.99996, 4) == 1.0
    assert significant(0.0, 2) == 0.0
    assert math.isinf(significant(math.inf, 2))
    assert shown(0.693147) == 0.6931


@given(VALUES, st.integers(2, 4))
def test_rounding_moves_by_half_a_unit_and_happens_once(value, count):
    rounded = significant(value, count)
    assert abs(rounded - value) <= unit(value, count) / 2 * (1 + 1e-9)
    assert significant(rounded, count) == rounded


@given(st.floats(0, 1), st.floats(0, 0.5).filter(lambda value: value == 0 or value > 1e-12), st.integers(1, 10**6))
def test_a_bound_of_an_error_still_holds(auc, error, rows):
    found = supported({"auc": auc, "auc_error": error}, rows, {"auc_error": "auc"})
    if auc > 1e-9:
        assert found["auc_error"] >= error + abs(found["auc"] - auc) - 1e-12


def test_a_histogram_for_others_has_shares_between_its_own_edges():
    scores = np.random.default_rng(3).normal(0.5, 0.01, 500)
    rounded = Histogram.of(scores).rounded(scores, 2)
    assert all(edge == significant(edge, 2) for edge in rounded.edges)
    assert len(rounded.shares) == len(rounded.edges) + 1 and sum(rounded.shares) == pytest.approx(1, abs=0.02)
    assert rounded.stability(scores) < 1e-3
