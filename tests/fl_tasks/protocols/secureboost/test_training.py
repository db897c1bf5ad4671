"""SecureBoost under encryption grows the trees that one machine with all columns would grow, to the last bit."""

import numpy as np
import pytest

from tests.fl_tasks.protocols.secureboost.parties import blocks, grown, layout, pooled, sample, train

OBJECTIVES = {"logistic": {}, "squared": {"objective": "squared"}, "softmax": {"objective": "softmax", "classes": 3}}


def same(fed, dealt, states, rounds=3):
    """The federation's trees and records against the pooled ones; aliases aside."""
    model = pooled(fed, dealt, rounds)
    trees, records = grown(fed, rounds)
    assert len(trees) == len(model.trees) >= rounds
    for found, expected in zip(trees, model.trees, strict=True):
        document = expected.document()
        assert {**found, "column": None} == {**document, "column": None}
    assert records == {party: [list(one) for one in expected] for party, expected in zip(fed.parties, model.records, strict=True)}
    assert states[fed.guest]["loss"] == model.loss
    np.testing.assert_array_equal(states[fed.guest]["margins"], model.margins)
    assert all(records[party] for party in fed.parties)


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
@pytest.mark.parametrize("missing", [0.0, 0.15])
def test_trees_are_the_pooled_ones(tmp_path, objective, missing):
    fed = layout(tmp_path, hosts=2, boosting=OBJECTIVES[objective])
    codes, y = sample(missing=missing, outputs=3 if objective == "softmax" else 2)
    dealt = blocks(fed, codes, y)
    fed.start()
    same(fed, dealt, train(fed, dealt))


@pytest.mark.parametrize(("classes", "sets"), [(4, 1), (15, 2)])
def test_classes_share_ciphertexts_at_the_roots(tmp_path, classes, sets):
    """14 classes fit a plaintext of 1024 bits; a class left alone needs nothing below, others the rows of smaller children."""
    fed = layout(tmp_path, hosts=1, boosting={"objective": "softmax", "classes": classes}, leaf_rows=1, min_child_weight=1.0)
    codes, y = sample(rows=200, outputs=classes)
    dealt = blocks(fed, codes, y)
    fed.start(rounds=1)
    same(fed, dealt, train(fed, dealt), 1)
    received = fed.context("lab").books("run-1").entries("received")
    assert [one.rows for one in received if one.address.split("/")[-1] == "gradients"] == [200 * sets]
    below = [one.rows for one in received if one.address.split("/")[-1] == "class_gradients"]
    stacked = 200 * (classes - sets + 1)
    assert len(below) == 2 and 0 < below[0] <= stacked / 2 and 0 < below[1] <= (stacked - below[0]) / 2


def test_one_host_weights_and_ties(tmp_path):
    """Columns that a host holds twice tie in every split: its own first one is taken, as in the pooled model."""
    fed = layout(tmp_path, hosts=1)
    codes, y = sample(columns=4)
    codes = np.hstack([codes, codes[:, 2:]])[:, [0, 1, 4, 2, 3, 5]]
    dealt = blocks(fed, codes, y, np.random.default_rng(1).integers(1, 4, len(y)).astype(float))
    fed.start()
    same(fed, dealt, train(fed, dealt))


def test_first_tree_of_the_guest_alone(tmp_path):
    fed = layout(tmp_path, hosts=1, boosting={"first_tree_guest_only": True})
    dealt = blocks(fed, *sample())
    fed.start()
    train(fed, dealt)
    trees, records = grown(fed, 3)
    assert set(trees[0]["party"]) == {-1, 0} and 1 in trees[1]["party"]
    sent = fed.context("clinic").books("run-1").entries("sent")
    assert not [one.address for one in sent if "/000001/" in one.address and "turn" not in one.address]


def test_early_stopping_is_heard_by_all(tmp_path):
    fed = layout(tmp_path, hosts=1, patience=1, validation_fraction=0.4, learning_rate=1.0)
    dealt = blocks(fed, *sample(rows=100, seed=8))
    fed.start(rounds=20)
    states = train(fed, dealt)
    rounds = states["clinic"]["round"]
    assert states["clinic"]["stopped"] and states["lab"]["stopped"] and rounds < 20
    assert states["lab"]["kept"] == states["clinic"]["kept"] == rounds - 1


@pytest.mark.parametrize("parameters", [{"subsample": 0.6, "colsample": 0.5}, {"goss_top": 0.3, "goss_other": 0.2}])
def test_sampled_rounds_lower_the_loss(tmp_path, parameters):
    fed = layout(tmp_path, hosts=2, **parameters)
    dealt = blocks(fed, *sample())
    fed.start()
    losses = train(fed, dealt)["clinic"]["loss"]
    assert losses[-1] < losses[0]
    rows = [one.rows for one in fed.context("lab").books("run-1").entries("received") if "gradients" in one.address]
    assert rows == [96] * 3 if "subsample" in parameters else rows == [48 + 32] * 3
