"""The plain reference models minimise the stated objectives."""

import numpy as np
import pytest
from scipy.optimize import minimize

from tombolo.agreements.task import TaskTerms
from tombolo.agreements.terms import LimitTerms
from tombolo.fl_tasks.learning.metrics import sigmoid
from tombolo.fl_tasks.learning.reference import Rows, _linear, _logistic, reference_metrics


def _sample(rows=300, columns=4):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(rows, columns))
    return x, x @ np.arange(1.0, columns + 1) - 0.7, rng


def test_linear_has_a_zero_gradient():
    x, u, rng = _sample()
    y = u + rng.normal(size=len(u))
    weights, intercept = _linear(x, y, 0.01)
    residual = x @ weights + intercept - y
    assert np.abs(x.T @ residual / len(y) + 0.01 * weights).max() < 1e-12
    assert abs(residual.mean()) < 1e-12


def test_logistic_has_the_lowest_objective():
    x, u, rng = _sample()
    y = (rng.random(len(u)) < sigmoid(u)).astype(float)
    weights, intercept = _logistic(x, y, 0.01)

    def objective(theta):
        logits = x @ theta[:-1] + theta[-1]
        return np.mean(np.logaddexp(0, logits) - y * logits) + 0.005 * theta[:-1] @ theta[:-1]

    found = minimize(objective, np.zeros(5), tol=1e-12).x
    assert np.append(weights, intercept) == pytest.approx(found, abs=1e-4)


def test_metrics_are_those_of_the_held_out_rows():
    x, u, _ = _sample()
    test = np.arange(len(u)) % 3 == 0
    rows, task = Rows(u, np.ones(len(u)), test), TaskTerms(protocol="linear", label={"column": "y"})
    found = reference_metrics(task, LimitTerms(), {"l2": 0.0}, 1, x, rows)
    assert found["rmse"] == pytest.approx(0.0, abs=1e-9)
    assert reference_metrics(task, LimitTerms(), {"l2": 0.0}, 1, x[:, :1], rows)["rmse"] > 1


def test_boosted_reference_is_the_pooled_model():
    """XGBoost and the trees in integers agree on held-out rows, with missing values and weights."""
    from tests.fl_tasks.learning.trees.pooled import PARAMETERS, plan
    from tombolo.fl_tasks.learning.trees.boosting import train_pooled
    from tombolo.fl_tasks.learning.trees.tree import directions, margins

    rng = np.random.default_rng(5)
    codes = rng.integers(0, 9, (400, 5)).astype(np.uint8)
    y = (codes.sum(axis=1) + rng.normal(size=400) > 20).astype(float)
    test, weights = rng.random(400) < 0.3, rng.integers(1, 3, 400).astype(float)
    task, limits = TaskTerms(protocol="secureboost", label={"column": "y"}), LimitTerms(minimum_leaf_rows=4)
    found = reference_metrics(task, limits, PARAMETERS, 10, codes, Rows(y, weights, test))
    model = train_pooled(plan(), 10, [codes[~test]], y[~test], weights[~test])
    ours = margins(model.trees, model.base, [directions(model.records[0], codes[test])], int(test.sum()))[:, 0]
    from tombolo.fl_tasks.learning.metrics import classification

    assert found == pytest.approx(classification(y[test], ours), abs=1e-5)
