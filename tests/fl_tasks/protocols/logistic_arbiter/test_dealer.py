"""Exact logistic regression on dealt shares: the same model as on ciphertexts and as pooled; hostile values; a kill."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fl_tasks.learning.vertical.test_logistic import auc, cancer, pooled  # noqa: F401 - cancer is a fixture
from tests.fl_tasks.protocols.linear.test_dealer import corrupted, dealt
from tests.fl_tasks.protocols.linear.test_programs import train, weights
from tombolo.fl_tasks.learning.rounding import shown
from tombolo.fl_tasks.learning.vertical.key_holder import WrongLength
from tombolo.fl_tasks.protocols.logistic_arbiter import dealer as oracle
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.shares.dealt import WrongProduct


@pytest.mark.parametrize("hosts", [1, 2])
def test_equals_pooled(tmp_path, cancer, hosts):  # noqa: F811
    x, y = cancer
    fed = dealt(tmp_path, hosts=hosts, protocol="logistic-arbiter")
    states = train(fed, oracle, x, y, fed.start(rounds=60))
    w, losses = weights(states, fed), states["notary"]["loss"]
    assert abs(auc(w, x, y) - auc(pooled(x, y), x, y)) < 1e-3
    assert losses[0] == pytest.approx(np.log(2), abs=1e-6) and states["clinic"]["loss"] == [shown(loss) for loss in losses]
    u = w[0] + x @ w[1:]
    assert min(losses) == pytest.approx(float((np.logaddexp(0, u) - y * u).mean() + 0.0005 * w[1:] @ w[1:]), abs=1e-6)


def test_one_gradient_is_exact_to_the_scale(tmp_path, cancer):  # noqa: F811
    """At w = 0 every residual is 1/2 - y: the first gradients are known in full."""
    x, y = cancer
    fed = dealt(tmp_path, hosts=2, protocol="logistic-arbiter")
    states = train(fed, oracle, x, y, fed.start(rounds=1))
    whole = np.column_stack([np.ones(len(x)), x])
    found = np.concatenate([states[party]["start"] for party in ("clinic", "lab", "mill")])
    assert found == pytest.approx(whole.T @ (0.5 - y) / len(x), abs=1e-7)


@pytest.mark.parametrize(
    ("sender", "name", "change", "error"),
    [
        ("lab", "logits", lambda v: v[1:], WrongLength),
        ("notary", "sigmoids", lambda v: v[1:], WrongLength),
        ("notary", "sigmoids", lambda v: v + np.uint64(1 << 40), WrongProduct),  # probabilities in the thousands
        ("notary", "correction", lambda v: v ^ np.uint64(1), WrongProduct),
    ],
)
def test_what_a_peer_or_the_dealer_makes_wrong_is_refused(tmp_path, monkeypatch, cancer, sender, name, change, error):  # noqa: F811
    x, y = cancer
    fed = dealt(tmp_path, protocol="logistic-arbiter")
    run = fed.start(rounds=2)
    corrupted(monkeypatch, sender, name, lambda columns: {"share": change(columns["share"])})
    with pytest.raises(error):
        train(fed, oracle, x, y, run)


def test_no_key_and_no_ciphertext(tmp_path, monkeypatch, cancer):  # noqa: F811
    """Nothing is sent but masked words, seeds, and what is declared open."""
    x, y = cancer
    fed = dealt(tmp_path, protocol="logistic-arbiter")
    names = set()
    real = Session.send

    def send(self, name, to=None, /, **columns):
        names.add(name)
        real(self, name, to, **columns)

    monkeypatch.setattr(Session, "send", send)
    train(fed, oracle, x, y, fed.start(rounds=2))
    assert names == set(oracle.MESSAGES)
    kinds = {column.kind for message in oracle.MESSAGES.values() for column in message.columns.values()}
    assert kinds == {"public", "disclosed", "one-time-pad-mod-2^64"}
