"""The pooled reference of boosted trees is XGBoost on the same bins."""

import numpy as np
import pytest

from tests.fl_tasks.learning.trees.pooled import PARAMETERS, plan
from tombolo.agreements.task import TaskTerms
from tombolo.agreements.terms import LimitTerms
from tombolo.fl_tasks.learning.trees.boosting import train_pooled
from tombolo.fl_tasks.learning.trees.reference import boosted
from tombolo.fl_tasks.learning.trees.tree import directions, margins
from tombolo.fl_tasks.models.reference import LabelledRows, Pooled


def test_boosted_reference_is_the_pooled_model():
    """XGBoost and the trees in integers agree on held-out rows, with missing values and weights."""
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 9, (400, 5)).astype(np.uint8)
    y = (codes.sum(axis=1) + rng.normal(size=400) > 20).astype(float)
    test, weights = rng.random(400) < 0.3, rng.integers(1, 3, 400).astype(float)
    task, limits = TaskTerms.of({"protocol": "secureboost", "label": {"column": "y"}}), LimitTerms(minimum_leaf_rows=4)
    found = boosted(Pooled(task, limits, PARAMETERS, 10, {"": codes}, LabelledRows(y, weights, test)))
    model = train_pooled(plan(), 10, [codes[~test]], y[~test], weights[~test])
    ours = margins(model.trees, model.base, [directions(model.records[0], codes[test])], int(test.sum()))[:, 0]
    assert found == pytest.approx(ours, abs=1e-4)
