"""The plain reference models minimise the stated objectives."""

import numpy as np
import pytest
from scipy.optimize import minimize

from fl_tasks.models.metrics import sigmoid
from fl_tasks.models.reference import _linear, _logistic, reference_metrics


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
    found = reference_metrics("linear", x, u, test, 0.0)
    assert found["rmse"] == pytest.approx(0.0, abs=1e-9)
    assert reference_metrics("linear", x[:, :1], u, test, 0.0)["rmse"] > 1
