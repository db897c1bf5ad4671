"""Attacks on vertical networks: what a host sees of labels, by derivatives and by their sums, and what the guest sees of hosts."""

from __future__ import annotations

import numpy as np
import pytest

from tests.federation import FOREVER
from tests.fl_tasks.protocols.vertical_mlp.parties import begun, blocks, drawn, layout, sample, train, whole
from tombolo.agreements.terms import LimitTerms
from tombolo.fl_tasks.crypto.masks import residues_from_arrow
from tombolo.fl_tasks.crypto.packing import unpack
from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.crypto.vector import CipherVector, decrypt, decrypt_residues
from tombolo.fl_tasks.learning.metrics import classification
from tombolo.fl_tasks.learning.nets.split_network import GuestNet, SplitNetwork, bends, host_net
from tombolo.fl_tasks.learning.terms import NetworkTerms
from tombolo.fl_tasks.learning.vertical.key_holder import own_key
from tombolo.fl_tasks.protocols.vertical_mlp import encrypted as neural
from tombolo.fl_tasks.protocols.vertical_mlp import split
from tombolo.fl_tasks.protocols.vertical_mlp.grid import MOVE_SLOT, SLOPE_BITS
from tombolo.fl_tasks.runtime.session import Session

COLUMNS, UNITS, SUMS = 4, 3, 2
WEIGHTS = (COLUMNS + 1) * UNITS
_REACHED = 0.55


@pytest.fixture
def received(monkeypatch):
    """Every received table by recipient, message, round and part."""
    found = {}
    real = Session.receive

    def receive(self, name, frm, rows=None):
        found[self.me, name, self.round, self._part] = table = real(self, name, frm, rows)
        return table

    monkeypatch.setattr(Session, "receive", receive)
    return found


def keys(fed, run):
    found = {}
    for party in fed.parties:
        with fed.context(party).session(run, neural.MESSAGES, "train", FOREVER) as session:
            found[party] = own_key(session)
    return found


def auc(y, scores) -> float:
    """Of the better of both directions."""
    found = classification(y, scores)["auc"]
    return max(found, 1 - found)


# -- what is in the artifacts ---------------------------------------------------------------------------------------------------


def test_no_rows_derivative_leaves_the_guest_in_the_clear(tmp_path, received):
    """All that the host receives is ciphertexts under the guest's key, or pads, or its own gradient's sums under its own pad."""
    fed = layout(tmp_path)
    x, y = sample(160)
    dealt = blocks(fed, x, y)
    run = fed.start(rounds=2)
    train(fed, dealt)
    key = keys(fed, run)
    together = whole(fed, begun(fed), dealt)
    rows = drawn(fed, dealt)[0]
    delta = _delta(together, {party: block.x[rows] for party, block in dealt.items()}, y[rows])
    mine = {(name, round): table for (me, name, round, _), table in received.items() if me == "lab" and name != "public_key"}
    assert {name for name, _ in mine} == {"masked_sums", "slopes", "unit_slopes", "unmasked_gradient"}
    kinds = {name: {column.type.kind for column in table.columns} for (name, _), table in mine.items()}
    assert kinds == {
        "masked_sums": {"paillier"},
        "slopes": {"paillier"},
        "unit_slopes": {"paillier"},
        "unmasked_gradient": {"one-time-pad-mod-n"},
    }
    sent = decrypt(key["clinic"], CipherVector.from_arrow(key["clinic"].public, Session.values(mine["slopes", 1], "delta")))
    assert np.array(sent, float) / 2.0**SLOPE_BITS == pytest.approx((0.5 / len(rows) * delta).ravel(order="F"), abs=1e-6)
    seen = set()
    for round in (1, 2):
        for name, column in (("slopes", "delta"), ("unit_slopes", "delta"), ("masked_sums", "sums")):
            values = Session.values(mine[name, round], column).to_pylist()
            assert len(set(values)) == len(values) and not seen & set(values)
            seen |= set(values)
        public = key["lab"].public
        masked = CipherVector.from_arrow(public, Session.values(mine["masked_sums", round], "sums"))
        returned = residues_from_arrow(key["clinic"].public, Session.values(mine["unmasked_gradient", round], "gradient"))
        assert all(one > public.n >> 200 for one in decrypt_residues(key["lab"], masked))  # a bare plaintext has far fewer bits
        assert all(one > key["clinic"].public.n >> 200 for one in returned)
        assert len(returned) == -(-4 * UNITS // 6)  # sums over the batch, six to a plaintext, and nothing per row


def test_what_the_guest_decrypts_of_steps_is_noise(tmp_path, received):
    fed = layout(tmp_path)
    x, y = sample(160)
    run = fed.start(rounds=3)
    train(fed, blocks(fed, x, y))
    key, top = keys(fed, run)["clinic"], []
    for (me, name, *_), table in received.items():
        if me == "clinic" and name == "noisy_step":
            plain = decrypt(key, CipherVector.from_arrow(key.public, Session.values(table, "step")))
            top += [one >> 129 for one in unpack(plain, MOVE_SLOT, UNITS * SUMS, key.public)]
    assert len(top) == 3 * UNITS * SUMS and set(top) <= set(range(-8, 8))
    assert len(set(top)) >= 6  # over the whole range of the noise, where a bare step would have 70 bits at most


def _delta(together, x, y):
    units = together._units(x)
    return together._guest_net.backward(together.w, x["clinic"], together._sums(units, x), y, "binary")[2]


# -- what sums say of labels ----------------------------------------------------------------------------------------------------


def seen_by_a_host(seed: int, rows: int, informative: bool = False, rounds: int = 15):
    """A host that knows its columns, its units' derivatives and its own gradients of every round; and the labels."""
    random = np.random.default_rng(seed)
    x = {"clinic": random.normal(size=(rows, 4)), "lab": random.normal(size=(rows, COLUMNS))}
    signal = x["clinic"].sum(axis=1) + (2 * x["lab"].sum(axis=1) if informative else 0)
    y = (signal + random.logistic(size=rows) > 0).astype(float)
    network = NetworkTerms(bottom=UNITS, hidden=[SUMS], activation="tanh")
    guest_net, net, prf = GuestNet.of(network, 4), host_net(network, COLUMNS), Prf(bytes([seed]) * 32)
    w = np.concatenate([guest_net.bottom.initial(prf.stream("bottom")), guest_net.top.initial(prf.stream("top"))])
    between = {"lab": random.uniform(-1, 1, (UNITS, SUMS))}
    together = SplitNetwork(network, x, "clinic", w, {"lab": net.initial(prf.stream("lab"))}, between)
    inputs, found, batch = np.column_stack([x["lab"], np.ones(rows)]), [], np.arange(rows)
    for _ in range(rounds):
        bend = bends("tanh", together._units(x)["lab"])
        gradient = together._gradients(x, y)[1][1]
        gradient = np.vstack([gradient[: COLUMNS * UNITS].reshape(COLUMNS, UNITS), gradient[None, COLUMNS * UNITS :]])
        found += [(inputs * bend[:, [unit]], gradient[:, unit]) for unit in range(UNITS)]
        together.descend(x, y, [batch], 1, 0.5, 0.0)
    return found, y


def inverted(equations) -> np.ndarray:
    """Gradient inversion: the rows' derivatives of least norm that have these sums; every unit's in its own scale."""
    left = np.vstack([inputs.T for inputs, _ in equations])
    right = np.concatenate([sums / sums[-1] for _, sums in equations])
    return np.linalg.lstsq(left, right, rcond=1e-4)[0]


def attacks(equations) -> dict[str, np.ndarray]:
    """A score for every row, by what is known of split learning (Li et al. 2022) and of gradients, of what the host sees."""
    inputs, sums = equations[0]
    alone = inverted(equations[:1])
    by_row = inputs * alone[:, None]
    return {
        "norm": np.linalg.norm(by_row, axis=1),
        "cosine": by_row @ by_row[0] / (np.linalg.norm(by_row, axis=1) * np.linalg.norm(by_row[0])),
        "along the gradient": inputs @ sums,
        "inversion of one gradient": alone,
        "inversion of a round": inverted(equations[:UNITS]),
        "inversion of all rounds": inverted(equations),
    }


def reached(rows_per_weight: int, seeds: int = 4) -> dict[str, float]:
    """Mean AUC by attack over some tables whose labels the host's columns say nothing of."""
    found: dict[str, list[float]] = {}
    for seed in range(seeds):
        equations, y = seen_by_a_host(seed, rows_per_weight * WEIGHTS)
        for name, scores in attacks(equations).items():
            found.setdefault(name, []).append(auc(y, scores))
    return {name: float(np.mean(one)) for name, one in found.items()}


def test_labels_cannot_be_told_from_sums_over_batches():
    """At the default limit. At its floor of ten rows per weight they can be guessed at, which the page says."""
    at_default = reached(LimitTerms().minimum_rows_per_weight)
    assert all(one <= _REACHED for one in at_default.values()), at_default
    assert max(reached(10).values()) > _REACHED


def test_model_completion(record_property):
    """A host whose columns say something of the labels learns a model of them from its gradients, as from any training.

    It is reported, and has no bar: the model is what the parties train for.
    """
    for informative in (False, True):
        equations, y = seen_by_a_host(1, 128 * WEIGHTS, informative)
        found = auc(y, attacks(equations)["along the gradient"])
        record_property(f"completion, columns informative: {informative}", round(found, 3))
        assert found > 0.8 if informative else found < _REACHED


# -- and without encryption -----------------------------------------------------------------------------------------------------


def test_split_learning_shows_labels(tmp_path, received):
    """Why it needs a waiver: the sign of a row's derivative along the first one is its label."""
    fed = layout(tmp_path, engine="split", network={"hidden": [1]})
    x, y = sample(160)
    dealt = blocks(fed, x, y)
    fed.start(rounds=1)
    train(fed, dealt, split)
    table = next(one for (me, name, *_), one in received.items() if me == "lab" and name == "readable_slopes")
    slopes = Session.values(table, "slope").to_numpy().reshape(-1, UNITS)
    assert auc(y[drawn(fed, dealt)[0]], slopes @ slopes[0]) > 0.95
