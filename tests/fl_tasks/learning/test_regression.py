"""The plain regressions minimise the stated objectives."""

import numpy as np
import pytest
from scipy.optimize import minimize

from tombolo.agreements.task import TaskTerms
from tombolo.agreements.terms import LimitTerms
from tombolo.fl_tasks.learning.links import sigmoid
from tombolo.fl_tasks.learning.metrics import regression
from tombolo.fl_tasks.learning.parameters import Regression
from tombolo.fl_tasks.learning.regression import LINEAR, linear, logistic
from tombolo.fl_tasks.models.reference import LabelledRows, Pooled


def _sample(rows=300, columns=4):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(rows, columns))
    return x, x @ np.arange(1.0, columns + 1) - 0.7, rng


def test_linear_has_a_zero_gradient():
    x, u, rng = _sample()
    y = u + rng.normal(size=len(u))
    weights, intercept = linear(x, y, 0.01)
    residual = x @ weights + intercept - y
    assert np.abs(x.T @ residual / len(y) + 0.01 * weights).max() < 1e-12
    assert abs(residual.mean()) < 1e-12


def test_logistic_has_the_lowest_objective():
    x, u, rng = _sample()
    y = (rng.random(len(u)) < sigmoid(u)).astype(float)
    weights, intercept = logistic(x, y, 0.01)

    def objective(theta):
        logits = x @ theta[:-1] + theta[-1]
        return np.mean(np.logaddexp(0, logits) - y * logits) + 0.005 * theta[:-1] @ theta[:-1]

    found = minimize(objective, np.zeros(5), tol=1e-12).x
    assert np.append(weights, intercept) == pytest.approx(found, abs=1e-4)


def test_totals_are_those_of_the_held_out_rows():
    x, u, _ = _sample()
    test = np.arange(len(u)) % 3 == 0
    task = TaskTerms.of({"protocol": "linear", "label": {"column": "y"}})

    def rmse(*columns):
        rows = LabelledRows(u, np.ones(len(u)), test)
        case = Pooled(task, LimitTerms(), Regression(l2=0.0), 1, dict(enumerate(columns)), rows)
        return regression(u[test], LINEAR.totals(case))["rmse"]

    assert rmse(x[:, :2], x[:, 2:]) == pytest.approx(0.0, abs=1e-9)
    assert rmse(x[:, :1]) > 1
