"""Derivatives are those of finite differences and of scikit-learn's networks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.learning.nets.dense import Dense
from tombolo.fl_tasks.learning.nets.losses import losses, slopes

SIZES = {"number": 1, "binary": 1, "classes": 4}


def problem(outcome: str, hidden: tuple[int, ...], activation: str, seed: int = 5, rows: int = 7):
    random = np.random.default_rng(seed)
    net = Dense((3, *hidden, SIZES[outcome]), activation)
    x = random.normal(size=(rows, 3))
    y = random.normal(size=rows) if outcome == "number" else random.integers(0, max(SIZES[outcome], 2), rows).astype(float)
    return net, net.initial(Prf(bytes(31) + bytes([seed % 256])).stream("weights")) + random.normal(size=net.count) * 0.1, x, y


def differences(function, at: np.ndarray, width: float = 1e-6) -> np.ndarray:
    """Central differences by every number of ``at``."""
    slope = np.empty(at.size)
    for index in range(at.size):
        off = np.zeros(at.size)
        off[index] = width
        slope[index] = (function(at + off.reshape(at.shape)) - function(at - off.reshape(at.shape))) / (2 * width)
    return slope.reshape(at.shape)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("hidden", [(), (5,), (4, 3)])
@pytest.mark.parametrize("outcome", SIZES)
def test_derivatives_by_weights_and_inputs(outcome, hidden, activation):
    net, w, x, y = problem(outcome, hidden, activation)
    trace = net.forward(w, x)
    by_weights, by_inputs = net.backward(w, trace, slopes(outcome, trace[-1], y))
    assert by_weights == pytest.approx(differences(lambda at: losses(outcome, net.outputs(at, x), y).sum(), w), abs=1e-7)
    assert by_inputs == pytest.approx(differences(lambda at: losses(outcome, net.outputs(w, at), y).sum(), x), abs=1e-7)


@given(st.integers(0, 10_000), st.sampled_from(list(SIZES)), st.sampled_from(["relu", "tanh"]))
def test_row_norms_are_those_of_single_rows(seed, outcome, activation):
    net, w, x, y = problem(outcome, (4, 3), activation, seed)
    trace = net.forward(w, x)
    norms = net.row_norms(w, trace, slopes(outcome, trace[-1], y))
    for row in range(len(y)):
        one = net.forward(w, x[row : row + 1])
        gradient, _ = net.backward(w, one, slopes(outcome, one[-1], y[row : row + 1]))
        assert norms[row] == pytest.approx(np.linalg.norm(gradient))


def test_first_weights():
    net = Dense((40, 30, 10))
    w = net.initial(Prf(bytes(32)).stream("weights"))
    assert np.array_equal(w, net.initial(Prf(bytes(32)).stream("weights")))
    for (weights, biases), limit in zip(net.layers(w), (np.sqrt(6 / 70), np.sqrt(6 / 40)), strict=True):
        assert not biases.any()
        assert 0.95 * limit < np.abs(weights).max() <= limit
        assert abs(weights.mean()) < 0.1 * limit
    assert net.count == len(w) == 40 * 30 + 30 + 30 * 10 + 10
    assert net.penalised().sum() == 40 * 30 + 30 * 10


@pytest.mark.parametrize("outcome", SIZES)
def test_losses_of_extreme_outputs_are_finite(outcome):
    outputs = np.array([[1e4] * SIZES[outcome], [-1e4] * SIZES[outcome]])
    outputs[:, -1] *= -1
    for labels in (np.zeros(2), np.ones(2)):
        assert np.isfinite(losses(outcome, outputs, labels)).all()
        assert np.isfinite(slopes(outcome, outputs, labels)).all()
