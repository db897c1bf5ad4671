"""Vertical logistic regression against scikit-learn on pooled data, in all three forms."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from tests.federation import FOREVER, federation
from tests.fl_tasks.protocols.linear.test_programs import layout, train, weights
from tombolo.fl_tasks.crypto.convolution import Convolution
from tombolo.fl_tasks.learning.rounding import shown
from tombolo.fl_tasks.learning.vertical.rows import BadLabel, VerticalRows
from tombolo.fl_tasks.protocols.logistic_arbiter import programs as arbiter_oracle
from tombolo.fl_tasks.protocols.logistic_guest import programs as guest_held
from tombolo.fl_tasks.protocols.logistic_guest.programs import DirectionsSpent, TooFewHostColumns, line_search
from tombolo.fl_tasks.protocols.logistic_taylor import programs as taylor

WAIVER = "disclose-direction-to-guest"


@pytest.fixture(scope="module")
def cancer() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_breast_cancer(return_X_y=True)
    x = x[:300, :9]
    return (x - x.mean(axis=0)) / x.std(axis=0), 1.0 - y[:300]


def pooled(x: np.ndarray, y: np.ndarray, l2: float = 0.001) -> np.ndarray:
    model = LogisticRegression(C=1 / (len(x) * l2), tol=1e-10, max_iter=5000).fit(x, y)
    return np.concatenate([model.intercept_, model.coef_[0]])


def auc(w: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    return float(roc_auc_score(y, w[0] + x @ w[1:]))


def test_arbiter_oracle_equals_pooled(tmp_path, cancer):
    x, y = cancer
    fed = layout(tmp_path, "logistic-arbiter", hosts=2)
    states = train(fed, arbiter_oracle, x, y, fed.start(rounds=30))
    assert abs(auc(weights(states, fed), x, y) - auc(pooled(x, y), x, y)) < 1e-3
    w, losses = weights(states, fed), states["notary"]["loss"]
    assert states["clinic"]["loss"] == [shown(loss) for loss in losses]
    u = w[0] + x @ w[1:]
    assert losses[0] == pytest.approx(np.log(2), abs=1e-6)
    assert losses[-1] < 0.3 * losses[0]
    assert float((np.logaddexp(0, u) - y * u).mean() + 0.0005 * w[1:] @ w[1:]) <= losses[-1] + 1e-3


def test_guest_held_equals_pooled_within_its_budget(tmp_path, cancer):
    x, y = cancer
    fed = layout(tmp_path, "logistic-guest", hosts=2)
    states = train(fed, guest_held, x, y, fed.start(rounds=30))
    assert states["clinic"]["round"] == 5  # the two hosts have six columns
    exact, found = pooled(x, y), weights(states, fed)
    assert abs(auc(found, x, y) - auc(exact, x, y)) < 5e-3
    losses = states["clinic"]["loss"]
    assert all(b < a for a, b in pairwise(losses))
    with pytest.raises(DirectionsSpent):
        train(fed, guest_held, x, y, fed.start("run-2", rounds=30))


def test_packed_residuals_change_nothing(tmp_path, cancer, monkeypatch):
    x, y = cancer
    found = []
    for packed in (False, True):
        (tmp_path / str(packed)).mkdir()
        monkeypatch.setattr(Convolution, "pays", lambda *_, packed=packed: packed)
        fed = layout(tmp_path / str(packed), "logistic-guest", hosts=2)
        states = train(fed, guest_held, x[:299], y[:299], fed.start(rounds=3))
        found.append((weights(states, fed), states["clinic"]["loss"]))
    assert np.array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_narrow_hosts_are_refused(tmp_path, cancer):
    x, y = cancer
    fed = layout(tmp_path, "logistic-guest", hosts=2)
    with pytest.raises(TooFewHostColumns):
        train(fed, guest_held, x[:, :6], y, fed.start(), stage="train")


def test_taylor_reaches_the_minimum_of_its_own_loss(tmp_path, cancer):
    x, y = cancer
    fed = layout(tmp_path, "logistic-taylor", hosts=1, tolerance=1e-7)
    states = train(fed, taylor, x, y, fed.start(rounds=40))
    full, ridge = np.column_stack([np.ones(len(x)), x]), np.diag([0.0] + [0.001] * x.shape[1])
    exact = np.linalg.solve(full.T @ full / (4 * len(x)) + ridge, full.T @ (y - 0.5) / len(x))
    assert np.allclose(weights(states, fed), exact, atol=1e-4)
    assert auc(weights(states, fed), x, y) > 0.97


def test_labels_other_than_0_and_1_are_refused(tmp_path, cancer):
    x, y = cancer
    fed = layout(tmp_path, "logistic-arbiter", hosts=1)
    run = fed.start()
    for bad in (y + 1, np.zeros_like(y), np.where(y > 0, np.nan, 0.0)):
        with pytest.raises(BadLabel), fed.context("clinic").session(run, arbiter_oracle.MESSAGES, "t", FOREVER) as session:
            arbiter_oracle.PROGRAMS.data["guest"](session, VerticalRows(x, bad, tuple("abcdefghi")))


def test_line_search_finds_the_minimum():
    random = np.random.default_rng(0)
    u, v, y = random.normal(size=50), random.normal(size=50), (random.random(50) > 0.5).astype(float)
    alpha, loss = line_search(u, v, y, np.array([0.1, 0.02, 0.3]))

    def value(a: float) -> float:
        return float((np.logaddexp(0, u + a * v) - y * (u + a * v)).mean() + (0.1 + 0.04 * a + 0.3 * a * a) / 2)

    assert loss == pytest.approx(value(alpha))
    assert all(value(alpha + step) >= loss - 1e-12 for step in (-0.1, -1e-4, 1e-4, 0.1))


def test_one_host_needs_the_waiver(tmp_path):
    from tombolo.agreements.reading import BadDocument

    tables = {"clinic": pa.table({"id": ["a"]}), "lab": pa.table({"id": ["a"]})}
    with pytest.raises(BadDocument, match=WAIVER):
        federation(tmp_path, tables, protocol="logistic-guest")
