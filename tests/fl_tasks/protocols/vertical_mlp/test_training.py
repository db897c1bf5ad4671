"""The encrypted network learns what the same network learns in one place, from the same first weights."""

from __future__ import annotations

import pytest

from tests.federation import federation
from tests.fl_tasks.protocols.vertical_mlp.parties import NAMES, STUB, begun, blocks, drawn, joined, layout, sample, train, whole
from tombolo.agreements.reading import BadDocument
from tombolo.fl_tasks.learning.vertical.roles import DEALER_WAIVER
from tombolo.fl_tasks.learning.vertical.rows import BatchTooSmall
from tombolo.fl_tasks.protocols.vertical_mlp import dealt as on_shares
from tombolo.fl_tasks.protocols.vertical_mlp import encrypted as neural
from tombolo.fl_tasks.protocols.vertical_mlp import split
from tombolo.fl_tasks.protocols.vertical_mlp.messages import TooFewColumns, TooLarge, TooManySteps
from tombolo.fl_tasks.protocols.vertical_mlp.protocol import SPLIT_WAIVER


@pytest.mark.parametrize(
    ("engine", "hosts", "outcome", "activation"),
    [
        ("paillier", 1, "binary", "tanh"),
        ("paillier", 2, "number", "relu"),
        ("paillier", 1, "classes", "tanh"),
        ("split", 2, "binary", "tanh"),
        ("dealer", 1, "binary", "tanh"),
        ("dealer", 2, "number", "relu"),
        ("dealer", 1, "classes", "tanh"),
    ],
)
def test_equal_to_the_network_in_one_place(tmp_path, engine, hosts, outcome, activation):
    network = {"outcome": outcome, "activation": activation, "hidden": [2, 3], "classes": 3 if outcome == "classes" else 2}
    fed = layout(tmp_path, hosts, network, engine=engine, batch_rows=120)
    x, y = sample(250, 3 + 3 * hosts, outcome)
    dealt = blocks(fed, x, y)
    fed.start(rounds=2)
    states = train(fed, dealt, {"paillier": neural, "split": split, "dealer": on_shares}[engine])
    together, given = whole(fed, begun(fed), dealt), {party: block.x for party, block in dealt.items()}
    scaled = (y - y.mean()) / y.std() if outcome == "number" else y
    losses = together.descend(given, scaled, drawn(fed, dealt), 2, 0.5, 0.9)
    assert states["clinic"]["loss"] == pytest.approx(losses, abs=1e-4)
    assert whole(fed, states, dealt).outputs(given) == pytest.approx(together.outputs(given), abs=3e-4)
    for party in NAMES[1 : hosts + 1]:
        assert joined(states, "clinic", party) == pytest.approx(together.between[party], abs=1e-4)


def test_a_batch_too_small_for_a_hosts_weights_is_refused(tmp_path):
    fed = layout(tmp_path, limits={"minimum_batch": 20})
    fed.start()
    with pytest.raises(BatchTooSmall, match="100 rows for 12 weights; at least 1536"):
        train(fed, blocks(fed, *sample(100)))


def test_more_steps_than_the_form_holds_are_refused(tmp_path):
    fed = layout(tmp_path, network={"bottom": 2, "hidden": [1]}, batch_rows=20, rounds={"default": 1000, "min": 1, "max": 1000})
    fed.start()
    with pytest.raises(TooManySteps):
        train(fed, blocks(fed, *sample(1400, 4)))


def test_a_host_of_few_columns_is_refused(tmp_path):
    fed = layout(tmp_path)
    fed.start()
    with pytest.raises(TooFewColumns):
        train(fed, blocks(fed, *sample(120, 4)))


def test_units_too_large_are_refused(tmp_path):
    fed = layout(tmp_path, network={"activation": "relu"})
    fed.start()
    x, y = sample(120)
    with pytest.raises(TooLarge):
        train(fed, blocks(fed, 1e6 * x, y))


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"engine": "split"}, f"engine: with split.*sign the waiver {SPLIT_WAIVER}"),
        ({"engine": "dealer"}, f"engine: with dealer.*sign the waiver {DEALER_WAIVER}"),
        ({"engine": "dealer", "waivers": [DEALER_WAIVER]}, "engine: dealer needs an arbiter"),
        ({"network": {"bottom": 4, "hidden": [4]}}, "hidden: the first layer must have fewer units"),
        ({"protocol": "secureboost", "engine": "split"}, "engine: secureboost has no split; choose paillier"),
        ({"protocol": "logistic-guest", "network": {"bottom": 40}}, "network: unknown field"),
    ],
)
def test_terms(tmp_path, task, said):
    given = {"protocol": "vertical-mlp", "label": {"column": "y"}, **task}
    with pytest.raises(BadDocument, match=said):
        federation(tmp_path, dict.fromkeys(NAMES[:2], STUB), {"clinic": "guest", "lab": "host"}, task=given)
