"""Encrypted training equals the same algorithm in the clear, also when it is stopped anywhere and run again."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fl_tasks.protocols.transfer.clinics import layout, numbers, trained
from tombolo.fl_tasks.learning.vertical.rows import BadLabel
from tombolo.fl_tasks.protocols.transfer.net import PartyNet
from tombolo.fl_tasks.protocols.transfer.objective import SourceRows
from tombolo.fl_tasks.protocols.transfer.plain import train
from tombolo.fl_tasks.protocols.transfer.protocol import TransferTerms
from tombolo.fl_tasks.protocols.transfer.rows import TooFewForNet, TransferRows, labelled_of


def plain(fed, run, rows):
    context = fed.context("hospital")
    params, terms = context.params(run), context.terms.task.section(TransferTerms)
    own, common = rows["hospital"], rows["hospital"].common
    source = SourceRows.of(own.x, own.y, common, labelled_of(params, common), params.class_weights == "balanced")
    return train(terms, params, source, rows["practice"].x[:common])


@pytest.mark.parametrize(
    ("parameters", "terms"),
    [
        ({"class_weights": "none"}, {}),
        ({"class_weights": "balanced", "labelled_rows": 25}, {}),
        ({"class_weights": "none", "labelled_rows": 30, "optimiser": "sgd", "rate": 0.5}, {"hidden": [3]}),
    ],
)
def test_encrypted_training_equals_the_plain_form(tmp_path, parameters, terms):
    fed, rows = layout(tmp_path, terms=terms, **parameters), numbers()
    run = fed.start()
    states, expected = trained(fed, run, rows), plain(fed, run, rows)
    assert states["hospital"]["loss"] == pytest.approx(expected.loss, abs=1e-6)
    assert np.allclose(states["hospital"]["w"], expected.source, atol=1e-5)
    assert np.allclose(states["practice"]["w"], expected.target, atol=1e-5)
    assert np.allclose(states["hospital"]["phi"], expected.phi, atol=1e-5)
    assert expected.loss[-1] < expected.loss[0]


def test_it_stops_when_the_loss_has_settled(tmp_path):
    fed, rows = layout(tmp_path, loss_change=0.5), numbers()
    run = fed.start(rounds=20)
    states = trained(fed, run, rows)
    assert states["hospital"]["round"] == states["practice"]["round"] == 4
    assert states["practice"]["stopped"]
    assert len(plain(fed, run, rows).loss) == 4


def test_too_few_common_rows_are_refused(tmp_path):
    fed = layout(tmp_path)
    rows = numbers(common=9)
    with pytest.raises(TooFewForNet, match="27 numbers for 15 weights"):
        trained(fed, fed.start(), rows)


def test_labels_must_be_0_and_1(tmp_path):
    fed, rows = layout(tmp_path), numbers()
    rows["hospital"] = TransferRows(rows["hospital"].x, rows["hospital"].y * 2, 60)
    with pytest.raises(BadLabel):
        trained(fed, fed.start(), rows)


@pytest.mark.parametrize("hidden", [(), (5,)])
def test_jacobian_is_what_differences_say(hidden):
    rng = np.random.default_rng(1)
    from tombolo.fl_tasks.learning.nets.dense import Dense

    party_net = PartyNet(Dense((4, *hidden, 3), "tanh"))
    w, x, step = rng.normal(size=party_net.net.count), rng.normal(size=(6, 4)), 1e-6
    found = party_net.jacobian(w, x)
    for at in range(len(w)):
        ahead = np.zeros_like(w)
        ahead[at] = step
        slope = (party_net.features(w + ahead, x) - party_net.features(w - ahead, x)) / (2 * step)
        assert np.allclose(found[:, at], slope.ravel(), atol=1e-8)
    assert np.allclose(found.sum(axis=0), party_net.gradient(w, x, np.ones((6, 3))))
