"""Attacks on vertical networks on dealt shares: what everybody receives is uniform, and what collusion with the arbiter gives."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from tests.attacks.test_dealer import uniform
from tests.fl_tasks.protocols.vertical_mlp.parties import blocks, drawn, layout, sample, train
from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.protocols.vertical_mlp import dealt
from tombolo.fl_tasks.protocols.vertical_mlp.dealing import Masks
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.shares import wide

UNITS, SUMS = 3, 2
FROM_PEERS = {
    "clinic": {"seed", "masked_units", "shared_sums", "masked_share", "masked_bends", "masked_inputs", "shared_step"},
    "lab": {"seed", "masked_weights", "sums_correction", "masked_slopes", "corrections", "masked_unit_slopes", "shared_gradient"},
    "notary": {"rows", "columns"},
}


@pytest.fixture
def received(monkeypatch):
    """Every received table by recipient, message, sender, round and part."""
    found = {}
    real = Session.receive

    def receive(self, name, frm, rows=None):
        found[self.me, name, frm, self.round, self._part] = table = real(self, name, frm, rows)
        return table

    monkeypatch.setattr(Session, "receive", receive)
    return found


def words(table) -> np.ndarray:
    columns = [Session.values(table, column).to_numpy(zero_copy_only=False) for column in table.column_names]
    return np.concatenate(columns)


def test_all_that_data_parties_receive_is_uniform_and_nothing_repeats(tmp_path, received):
    """Also what of rows' derivatives goes to the host: no per-row number leaves the guest but under a mask of one use."""
    fed = layout(tmp_path, engine="dealer")
    fed.start(rounds=4)
    train(fed, blocks(fed, *sample(160)), dealt)
    for party, names in FROM_PEERS.items():
        assert {key[1] for key in received if key[0] == party} == names
    for party in ("clinic", "lab"):
        tables = [table for key, table in received.items() if key[0] == party and key[1] != "seed"]
        kinds = {column.type.kind for table in tables for column in table.columns}
        assert kinds == {"one-time-pad-mod-2^64"}
        tables = [table for key, table in received.items() if key[0] == party and key[1] not in {"seed", "shared_step"}]
        assert uniform(np.concatenate([words(table) for table in tables]))
    values = np.concatenate([words(table) for key, table in received.items() if key[0] != "notary" and key[1] != "seed"])
    assert len(np.unique(values)) == len(values)


def test_what_the_guest_learns_of_steps_is_noise(tmp_path, received, monkeypatch):
    """Opened, a step has the noise's range; and the noise stays with the host."""
    steps, real = [], dealt.DealtGuest._step
    monkeypatch.setattr(dealt.DealtGuest, "_step", lambda self, *given: steps.append(real(self, *given)) or steps[-1])
    fed = layout(tmp_path, engine="dealer")
    fed.start(rounds=4)
    train(fed, blocks(fed, *sample(160)), dealt)
    top = [one >> 129 for step in steps for one in step.ravel()]
    assert len(top) == 4 * UNITS * SUMS and set(top) <= set(range(-8, 8))
    assert len(set(top)) >= 6  # a bare step has 70 bits at most


def test_the_arbiters_whole_view_is_independent_of_the_data(tmp_path, received, monkeypatch):
    """Two federations with other columns and labels, and the same secrets: the arbiter gets and sends the same."""
    sent, views = [], []
    real = Session.send

    def send(self, name, to=None, /, **columns):
        if self.me == "notary":
            sent[-1].append((name, to, self.round, [np.asarray(one).tobytes() for one in columns.values()]))
        real(self, name, to, **columns)

    def constant(self, *labels):
        return Prf(hashlib.sha256(f"{self.me}/{self.round}/{labels}".encode()).digest())

    monkeypatch.setattr(Session, "send", send)
    monkeypatch.setattr(Session, "prf", constant)
    x, y = sample(160)
    for name, columns, labels in (("a", x, y), ("b", np.roll(x, 7, axis=0) ** 3 / 5, 1 - y)):
        received.clear(), sent.append([])
        folder = tmp_path / name
        folder.mkdir()
        fed = layout(folder, engine="dealer")
        fed.start(rounds=2)
        train(fed, blocks(fed, columns, labels), dealt)
        views.append({key[1:]: words(table).tolist() for key, table in received.items() if key[0] == "notary"})
    assert views[0] == views[1] and {key[0] for key in views[0]} == FROM_PEERS["notary"]
    assert sent[0] == sent[1] and len(sent[0]) == 2 + 2 * 2


def test_arbiter_and_one_peer_together_read_rows(tmp_path, received):
    """This is what the waiver in the terms accepts: a host with the arbiter takes masks off derivatives, the guest off columns."""
    fed = layout(tmp_path, engine="dealer")
    x, y = sample(160)
    given = blocks(fed, x, y)
    run = fed.start(rounds=1)
    train(fed, given, dealt)
    rows = drawn(fed, given)[0]
    seeds = {party: Session.scalar(received[party, "seed", "notary", 0, None], "seed") for party in ("clinic", "lab")}
    masked = words(received["clinic", "masked_inputs", "lab", 1, 0]).reshape(len(rows), -1, wide.WORDS)
    with fed.context("notary").session(run, dealt.PROGRAMS.messages, "train", None) as session:
        session.enter(1)
        session.within(0)
        inputs = wide.add(masked, Masks(session, seeds["lab"]).draw("inputs", "lab", *masked.shape[:2]))
        assert wide.floats(inputs, 24)[:, :-1] == pytest.approx(given["lab"].x[rows], abs=1e-6)
        slopes = words(received["lab", "masked_slopes", "clinic", 1, 0]).reshape(len(rows), SUMS, wide.WORDS)
        bare = wide.floats(wide.add(slopes, Masks(session, seeds["clinic"]).draw("slopes", "lab", len(rows), SUMS)), 40)
    assert np.abs(bare).max() < 1  # without the mask it is a derivative; under it, of the ring's size
    assert np.abs(wide.floats(slopes, 40)).max() > 2.0**100
