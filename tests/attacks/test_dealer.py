"""Attacks on dealt shares: the arbiter's view does not depend on the data, a peer's is uniform, what collusion gives is known."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from tests.fl_tasks.protocols.linear.test_dealer import dealt, rows
from tests.fl_tasks.protocols.linear.test_programs import train, weights
from tombolo.fl_tasks.protocols.linear import dealer as linear
from tombolo.fl_tasks.protocols.logistic_arbiter import dealer as oracle
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.shares.dealt import Masks

Seen = dict[tuple[str, str, str, int], pa.Table]
SUMS = {"scalars", "converged"}
"""What the arbiter learns sums from, as on ciphertexts; nothing else that it gets may depend on data, but for logistic logits."""


@pytest.fixture
def received(monkeypatch) -> Seen:
    """Every received table by recipient, message, sender and round."""
    found: Seen = {}
    real = Session.receive

    def receive(self, name, frm, rows=None):
        found[self.me, name, frm, self.round] = table = real(self, name, frm, rows)
        return table

    monkeypatch.setattr(Session, "receive", receive)
    return found


def words(table: pa.Table) -> np.ndarray:
    (column,) = table.column_names
    return Session.values(table, column).to_numpy(zero_copy_only=False)


def uniform(values: np.ndarray) -> bool:
    """Bytes of many words are spread as chance spreads them: chi-squared over 256 classes, within six deviations."""
    counts = np.bincount(np.ascontiguousarray(values).view(np.uint8), minlength=256)
    mean = counts.sum() / 256
    return abs(((counts - mean) ** 2 / mean).sum() - 255) < 6 * np.sqrt(2 * 255)


def test_the_arbiters_whole_view_is_independent_of_the_data(tmp_path, received, monkeypatch):
    """Two federations with other columns and targets, and the same secrets: the arbiter gets and sends the same, sums aside."""
    views, sent = [], []
    real = Session.send

    def send(self, name, to=None, /, **columns):
        if self.me == "notary":
            sent[-1].append((name, to, self.round, [np.asarray(one).tobytes() for one in columns.values()]))
        real(self, name, to, **columns)

    monkeypatch.setattr(Session, "send", send)
    monkeypatch.setattr(Session, "prf", lambda self, *labels: constant(self, *labels))
    x, y = rows()
    for name, columns, target in (("a", x, y), ("b", np.roll(x, 7, axis=0) ** 3 / 5, -3 * y)):
        received.clear(), sent.append([])
        fed = dealt(tmp_path, name)
        train(fed, linear, columns, target, fed.start(rounds=3))
        views.append(
            {key[1:]: words(table).tolist() for key, table in received.items() if key[0] == "notary" and key[1] not in SUMS}
        )
    assert views[0] == views[1] and {key[0] for key in views[0]} == {"training_rows", "columns"}
    dealt_out = [[one for one in view if one[0] in ("seed", "correction")] for view in sent]
    assert dealt_out[0] == dealt_out[1] and len(dealt_out[0]) == 3 + 3 * 3


def constant(session: Session, *labels):
    """Randomness as it would be in a run with the same transcript."""
    from tombolo.fl_tasks.crypto.prf import Prf

    return Prf(hashlib.sha256(f"{session.me}/{session.stage}/{session.round}/{labels}".encode()).digest())


def test_the_arbiter_of_the_logistic_protocol_gets_nameless_logits_and_nothing_else(tmp_path, received):
    x, y = rows()
    label = (y > np.median(y)).astype(float)
    fed = dealt(tmp_path, protocol="logistic-arbiter")
    states = train(fed, oracle, x, label, fed.start(rounds=3))
    view = {key[1:]: table for key, table in received.items() if key[0] == "notary" and key[1] not in SUMS}
    assert {key[0] for key in view} == {"training_rows", "columns", "logits"}
    shares = [words(table) for key, table in view.items() if key[0] == "logits" and key[2] > 1]
    assert uniform(np.concatenate(shares))
    logits = x @ weights(states, fed)[1:] + states["clinic"]["w"][0]
    for number in (2, 3):
        sums = np.sum([words(view["logits", party, number]) for party in ("clinic", "lab", "mill")], axis=0, dtype=np.uint64)
        nameless = sums.view(np.int64) / 2.0**32
        assert np.abs(nameless).max() < 100
        assert abs(np.corrcoef(nameless, logits)[0, 1]) < 0.3 and abs(np.sign(nameless).mean()) < 0.3


@pytest.mark.parametrize(("protocol", "module"), [("linear", linear), ("logistic-arbiter", oracle)])
def test_what_a_peer_receives_is_uniform(tmp_path, received, protocol, module):
    x, y = rows()
    target = y if protocol == "linear" else (y > np.median(y)).astype(float)
    fed = dealt(tmp_path, protocol=protocol)
    train(fed, module, x, target, fed.start(rounds=4))
    masked = {"masked_columns", "partial_residual", "residual", "product", "correction", "sigmoids"}
    for me in ("clinic", "lab", "mill"):
        tables = [table for key, table in received.items() if key[0] == me and key[1] in masked]
        assert uniform(np.concatenate([words(table) for table in tables]))
    values = [int(one) for key, table in received.items() if key[1] in masked for one in words(table)]
    copies = sum(len(words(table)) for key, table in received.items() if key[1] in ("residual", "masked_columns")) // 2
    assert len(set(values)) == len(values) - copies  # each to both other parties; nothing else repeats, over rounds and parties


def test_one_row_changed_changes_no_more_than_its_own_word(tmp_path, received, monkeypatch):
    """The masked columns and residuals of two trainings that differ in one value differ where it stands, by what a mask hides."""
    monkeypatch.setattr(Session, "prf", lambda self, *labels: constant(self, *labels))
    x, y = rows()
    seen = []
    for name, value in (("a", 0.5), ("b", -0.5)):
        received.clear()
        changed = x.copy()
        changed[9, 5] = value  # at the last host
        fed = dealt(tmp_path, name)
        train(fed, linear, changed, y, fed.start(rounds=1))
        seen.append(words(received["clinic", "masked_columns", "mill", 0]))
    assert np.flatnonzero(seen[0] != seen[1]).tolist() == [len(x) + 9, 2 * len(x) + 9]  # the value, and its row's checksum


def test_arbiter_and_one_peer_together_read_columns(tmp_path, received):
    """This is what the waiver in the terms accepts, and what ciphertexts would not give."""
    x, y = rows()
    fed = dealt(tmp_path)
    train(fed, linear, x, y, fed.start(rounds=1))
    at_the_peer = words(received["mill", "masked_columns", "lab", 0]).reshape(len(x), -1, order="F")
    at_the_arbiter = Masks(Session.scalar(received["lab", "seed", "notary", 0], "seed")).matrix(*at_the_peer.shape)
    assert (at_the_peer + at_the_arbiter)[:, :2].view(np.int64) / 2.0**24 == pytest.approx(x[:, 2:4], abs=1e-7)


def test_two_data_parties_without_the_arbiter_learn_no_residual(tmp_path, received):
    """Guest and one host put together all they have: the sum still holds the other host's mask."""
    x, y = rows()
    fed = dealt(tmp_path)
    states = train(fed, linear, x, y, fed.start(rounds=2))
    masked = words(received["lab", "residual", "clinic", 2])
    for party in ("clinic", "lab"):
        masked = masked + Masks(Session.scalar(received[party, "seed", "notary", 0], "seed")).residual(2, len(x))
    assert uniform(masked)
    third = Masks(Session.scalar(received["mill", "seed", "notary", 0], "seed")).residual(2, len(x))
    bare = (masked + third).view(np.int64)
    assert np.abs(bare).max() < 2.0**40 and states["clinic"]["round"] == 2  # with the third mask it is the residual
