"""A client that sends nonsense to a secure sum: it counts as silent in that step, and the sum of the others is right."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tests.attacks.test_secagg import CLIENTS, COUNT, HONEST, turns_of, words
from tests.fl_tasks.learning.horizontal.parties import AGGREGATORS_NAME
from tombolo.fl_tasks.learning.horizontal.secagg import client as clients_part
from tombolo.fl_tasks.learning.horizontal.secagg.keys import ForeignShare
from tombolo.fl_tasks.learning.horizontal.secagg.lists import KEYS_DOMAIN, keys_statement
from tombolo.fl_tasks.runtime.session import Session

LIES = {
    "another length": ("masked", lambda session, given: {"value": np.zeros(COUNT + 1, dtype=np.uint64)}),
    "no values": ("masked", lambda session, given: {"value": np.zeros(0, dtype=np.uint64)}),
    "short keys": ("advertise", lambda session, given: {**given, "keys": bytes(95)}),
    "a foreign signature": ("advertise", lambda session, given: {**given, "signature": bytes(3374)}),
    "one key twice": ("advertise", lambda session, given: signed(session, given["keys"][:32] * 2 + bytes(32))),
    "a key of small order": ("advertise", lambda session, given: signed(session, bytes(32) + given["keys"][32:])),
    "a box that cannot be opened": ("shares", lambda session, given: {"box": garbled(given["box"])}),
    "too few boxes": ("shares", lambda session, given: {"box": given["box"][:-1]}),
    "consent": ("consent", lambda session, given: {"signature": b"yes"}),
    "wrong shares": ("unmask", lambda session, given: {**given, "share": flipped(given["share"])}),
    "fewer shares": ("unmask", lambda session, given: {name: one[:-1] for name, one in given.items()}),
}
"""What a client sends instead of a message."""
INSIDE = ("a box that cannot be opened", "consent", "wrong shares", "fewer shares")
"""Lies that leave the liar's values in the sum."""


def signed(session: Session, keys: bytes) -> dict[str, bytes]:
    return {"keys": keys, "signature": session.sign(KEYS_DOMAIN, keys_statement(session, keys))}


def garbled(boxes: pa.Array) -> pa.Array:
    """The first box of a client cannot be opened."""
    return pa.array([bytes(len(boxes[0].as_py())), *boxes.to_pylist()[1:]], boxes.type)


def flipped(shares: pa.Array) -> pa.Array:
    return pa.array([share[:-1] + bytes([share[-1] ^ 1]) for share in shares.to_pylist()], shares.type)


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("liar", ["ash", "oak"])
def test_a_client_that_sends_nonsense_counts_as_silent(tmp_path, monkeypatch, caplog, lie, liar):
    """The sum of the others is right; where the nonsense comes after its values, they are in the sum too."""
    turns, real = turns_of(tmp_path), Session.send

    def send(self, name, to=None, /, **columns):
        message, change = LIES[lie]
        real(self, name, to, **(change(self, columns) if (self.me, name) == (liar, message) else columns))

    monkeypatch.setattr(Session, "send", send)
    result = turns.play(HONEST, monkeypatch)[AGGREGATORS_NAME]
    assert result.survivors == tuple(name for name in CLIENTS if lie in INSIDE or name != liar)
    assert np.array_equal(result.words, sum(words(name) for name in result.survivors))
    if lie != "wrong shares":
        assert f"party {liar}" in caplog.text


def test_shares_that_were_dealt_wrong_name_their_owner(tmp_path, monkeypatch):
    """Every holder returns what it was dealt, and no choice of them gives the secret; the tries are bounded."""
    turns, real = turns_of(tmp_path), clients_part._secrets
    made_up = lambda own: [("seed", bytes(32)), ("mask", bytes(32))]  # noqa: E731
    real_shares = clients_part._own_shares

    def dealing(session, own, roster):
        monkeypatch.setattr(clients_part, "_secrets", made_up if session.me == "fir" else real)
        return real_shares(session, own, roster)

    monkeypatch.setattr(clients_part, "_own_shares", dealing)
    results = turns.play(HONEST, monkeypatch)
    assert isinstance(results[AGGREGATORS_NAME], ForeignShare) and results[AGGREGATORS_NAME].party == "fir"
