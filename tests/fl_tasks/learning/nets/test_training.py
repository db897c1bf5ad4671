"""Descent moves as scikit-learn's networks do, in the same order for the same seed, and shortened gradients keep to their bound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tombolo.fl_tasks.learning.nets.losses import slopes
from tombolo.fl_tasks.learning.nets.optimisers import Adam, Momentum
from tombolo.fl_tasks.learning.nets.training import Sample, Training
from tombolo.fl_tasks.learning.parameters import Averaged
from tombolo.fl_tasks.learning.terms import NetworkTerms

ALPHA = 0.3
CHOICES = {"step": 0.05, "momentum": 0.9, "l2": 0.02, "batch_rows": 8, "local_epochs": 3, "proximal": 0.5, "seed": 4}


def training(outcome: str = "classes", **choices) -> Training:
    given = {**CHOICES, **choices}
    network = NetworkTerms(hidden=[5], activation="tanh", outcome=outcome, classes=3 if outcome == "classes" else 2)
    return Training.of(network, Averaged(**given), 4)


def sample(outcome: str = "classes", rows: int = 50) -> Sample:
    random = np.random.default_rng(2)
    x = random.normal(size=(rows, 4))
    signal = x @ [1.0, -1.0, 0.5, 0.0] + random.normal(size=rows) / 3
    return Sample(
        x, signal if outcome == "number" else np.digitize(signal, [0.0] if outcome == "binary" else [-1, 1]).astype(float)
    )


def flat(model) -> np.ndarray:
    return np.concatenate([part.ravel() for layer in zip(model.coefs_, model.intercepts_, strict=True) for part in layer])


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("outcome", ["number", "binary", "classes"])
def test_descent_is_that_of_scikit_learn(outcome, solver):
    """From weights that it has come to, over all rows at once: losses, gradients and four moves are the same."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    rows = sample(outcome)
    labels = rows.y if outcome == "number" else rows.y.astype(int)
    kind = MLPRegressor if outcome == "number" else MLPClassifier
    model = kind(
        hidden_layer_sizes=(5,),
        activation="tanh",
        solver=solver,
        alpha=ALPHA,
        batch_size=len(rows),
        learning_rate_init=0.05,
        momentum=0.9,
        nesterovs_momentum=False,
        max_iter=1,
        warm_start=True,
        random_state=1,
    ).fit(rows.x, labels)
    own, w = training(outcome, l2=ALPHA / len(rows), batch_rows=None, local_epochs=4), flat(model)
    mover = Momentum(0.05, 0.9, np.zeros_like(w)) if solver == "sgd" else Adam(0.05, *np.zeros((2, len(w))), beta2=0.999, tau=1e-8)
    loss = own.loss(w, rows) / len(rows) + own.l2 / 2 * (own.net.penalised() * w**2).sum()
    moved = w
    for _ in range(4):
        moved, mover = mover.move(moved, own.gradient(moved, rows))
    model.set_params(max_iter=4).fit(rows.x, labels)
    assert loss == pytest.approx(model.loss_curve_[-4])
    assert moved == pytest.approx(flat(model), abs=1e-9 if solver == "sgd" else 1e-4)  # it adds 1e-8 elsewhere
    if solver == "sgd":
        assert own.descended(w, rows, own.orders(len(rows), "any")) == pytest.approx(flat(model), abs=1e-9)


def test_descent_repeats_itself_and_another_seed_does_not():
    rows, one, other = sample(), training(), training(seed=5)
    ends = [each.descended(each.initial(), rows, each.orders(len(rows), "north", 1)) for each in (one, one, other)]
    assert np.array_equal(ends[0], ends[1])
    assert not np.array_equal(one.initial(), other.initial())
    orders = [np.concatenate(list(one.orders(50, *labels))) for labels in (("north", 1), ("north", 2), ("south", 1))]
    assert all(sorted(order) == sorted(orders[0]) for order in orders)
    assert len({order.tobytes() for order in orders}) == 3


def test_a_proximal_weight_holds_descent_close_to_where_it_began():
    rows = sample()
    assert training().proximal == 0.0
    ends = [
        np.linalg.norm(each.descended(each.initial(), rows, each.orders(len(rows), 1)) - each.initial())
        for each in (training(), training(strategy="fedprox"), training(strategy="fedprox", proximal=5))
    ]
    assert ends[0] > ends[1] > ends[2] > 0


@pytest.mark.parametrize("outcome", ["number", "binary", "classes"])
def test_shortened_gradients_keep_to_their_bound(outcome):
    """The sum is that of single rows' gradients, each shortened; under a high bound it is the plain one."""
    rows, own = sample(outcome), training(outcome)
    w, bound = own.initial(), 0.4
    expected = np.zeros(own.net.count)
    for row in range(len(rows)):
        one = rows.part(np.array([row]))
        trace = own.net.forward(w, one.x)
        gradient, _ = own.net.backward(w, trace, slopes(outcome, trace[-1], one.y))
        expected += gradient * min(1.0, bound / np.linalg.norm(gradient))
    assert own.clipped_gradient(w, rows, bound) == pytest.approx(expected)
    assert own.clipped_gradient(w, rows, 1e6) / len(rows) + own.penalty(w) == pytest.approx(own.gradient(w, rows))


def test_no_rows_add_nothing():
    own = training(l2=0.0)
    empty = sample().part(np.zeros(50, dtype=bool))
    assert np.array_equal(own.descended(own.initial(), empty, own.orders(0)), own.initial())
    assert own.loss(own.initial(), empty) == 0.0
    assert not own.clipped_gradient(own.initial(), empty, 1.0).any()
    assert replace(own, batch_rows=0).gradient(own.initial(), empty) == pytest.approx(0.0)
