"""Metrics from sums over clients are those of all rows in one place; the AUC is within its own bound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.fl_tasks.learning.horizontal import quality
from tombolo.fl_tasks.learning.metrics import UnfitForMetrics, measure, metric_names


def summed(outcome, labels, totals, scale=1.0, parts=3):
    pieces = zip(np.array_split(labels, parts), np.array_split(totals, parts), strict=True)
    return quality.metrics(outcome, sum(quality.addends(outcome, y, u, scale) for y, u in pieces), scale)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 30), st.integers(2, 300))
def test_classes(seed, spread, rows):
    random = np.random.default_rng(seed)
    totals = random.normal(size=rows) * spread
    labels = (totals + random.logistic(size=rows) > 0).astype(float)
    labels[:2] = 0.0, 1.0
    found, exact = summed("binary", labels, totals), measure("binary", labels, totals)
    assert tuple(found) == (*metric_names("binary"), *quality.ERRORS["binary"])
    assert abs(found["auc"] - exact["auc"]) <= found["auc_error"] + 1e-12
    assert found["ks"] <= exact["ks"] + 1e-12
    for name in ("accuracy", "logloss"):
        assert found[name] == pytest.approx(exact[name])


@pytest.mark.parametrize("scale", [1.0, 250.0])
def test_numbers(scale):
    random = np.random.default_rng(1)
    labels = random.normal(1000, scale, 200)
    totals = labels + random.normal(size=200) * scale / 2
    assert summed("number", labels, totals, scale) == pytest.approx(measure("number", labels, totals))


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 60), st.integers(1, 50))
def test_several_classes(seed, spread, rows):
    random = np.random.default_rng(seed)
    totals, labels = random.normal(size=(rows, 4)) * spread, random.integers(0, 4, rows).astype(float)
    found = summed("classes", labels, totals)
    assert tuple(found) == metric_names("classes")
    assert found == pytest.approx(measure("classes", labels, totals))


def test_a_client_without_held_out_rows_adds_nothing():
    for outcome, shape in (("binary", (0,)), ("number", (0,)), ("classes", (0, 3))):
        added = quality.addends(outcome, np.zeros(0), np.zeros(shape), 1.0)
        assert not added.any()
        assert len(added) == quality.SIZES[outcome]


@pytest.mark.parametrize(("outcome", "label"), [("binary", 1.0), ("number", 5.0)])
def test_labels_that_do_not_differ_have_no_quality(outcome, label):
    with pytest.raises(UnfitForMetrics):
        summed(outcome, np.full(9, label), np.arange(9.0))
