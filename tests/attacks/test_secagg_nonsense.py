"""A client that sends nonsense to a secure sum: it counts as silent in that step, and the sum of the others is right."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tests.attacks.test_secagg import CLIENTS, COUNT, HONEST, turns_of, words
from tests.fl_tasks.learning.horizontal.parties import AGGREGATORS_NAME
from tombolo.fl_tasks.learning.horizontal.secagg import client as clients_part
from tombolo.fl_tasks.learning.horizontal.secagg.keys import ForeignShare
from tombolo.fl_tasks.runtime.session import Session

LIES = {
    "another length": lambda name, columns: {"value": np.zeros(COUNT + 1, dtype=np.uint64)} if name == "masked" else columns,
    "no values": lambda name, columns: {"value": np.zeros(0, dtype=np.uint64)} if name == "masked" else columns,
    "keys": lambda name, columns: {**columns, "keys": bytes(100)} if name == "advertise" else columns,
    "a foreign signature": lambda name, columns: {**columns, "signature": bytes(3374)} if name == "advertise" else columns,
    "too few boxes": lambda name, columns: {"box": columns["box"][:-1]} if name == "shares" else columns,
    "consent": lambda name, columns: {"signature": b"yes"} if name == "consent" else columns,
    "shares": lambda name, columns: {**columns, "share": flipped(columns["share"])} if name == "unmask" else columns,
    "fewer shares": lambda name, columns: {key: one[:-1] for key, one in columns.items()} if name == "unmask" else columns,
}


def flipped(shares: pa.Array) -> pa.Array:
    return pa.array([share[:-1] + bytes([share[-1] ^ 1]) for share in shares.to_pylist()], shares.type)


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("liar", ["ash", "oak"])
def test_a_client_that_sends_nonsense_counts_as_silent(tmp_path, monkeypatch, caplog, lie, liar):
    """The sum of the others is right; where the nonsense comes after its values, they are in the sum too."""
    turns, real = turns_of(tmp_path), Session.send

    def send(self, name, to=None, /, **columns):
        real(self, name, to, **(LIES[lie](name, columns) if self.me == liar else columns))

    monkeypatch.setattr(Session, "send", send)
    result = turns.play(HONEST, monkeypatch)[AGGREGATORS_NAME]
    inside = lie in ("consent", "shares", "fewer shares")
    assert result.survivors == tuple(name for name in CLIENTS if inside or name != liar)
    assert np.array_equal(result.words, sum(words(name) for name in result.survivors))
    if lie != "shares":
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
