"""Attacks on a secure sum: an aggregator that shows different lists or keys, asks twice, or keeps a late client's values; a client
that alters its shares. All are refused, and nothing is unmasked."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fl_tasks.crypto.prf import Prf
from fl_tasks.horizontal.secagg import CONTRACT, Closing, Sum, aggregate, aggregator, contribute, to_words
from fl_tasks.horizontal.secagg.contract import BelowThreshold, ForeignList, TwoLists
from fl_tasks.horizontal.secagg.keys import ForeignKey, ForeignShare, OwnKeys, fits
from fl_tasks.horizontal.secagg.masking import own_mask
from fl_tasks.horizontal.trees import CONTRACT as TREES
from storage.identity import SignatureRefused
from tests.fl_tasks.horizontal.parties import AGGREGATORS_NAME, Turns

CLIENTS = ("ash", "birch", "cedar", "fir", "oak")
THRESHOLD, COUNT = 4, 3
CLOSING = Closing(THRESHOLD, 60.0, CLIENTS)


def words(client: str) -> np.ndarray:
    return to_words(np.arange(COUNT) + 7.0 * CLIENTS.index(client), len(CLIENTS))


def turns_of(tmp_path) -> Turns:
    return Turns(tmp_path / "stores", CLIENTS, CONTRACT)


def client(session):
    return contribute(session, words(session.me), THRESHOLD)


HONEST = {"client": client, "aggregator": lambda session: aggregate(session, COUNT, CLOSING)}


def altered(table: pa.Table, name: str, change) -> pa.Table:
    """``change`` applied to one column's values."""
    column = table.column(name).combine_chunks()
    array = column if isinstance(column, pa.ExtensionArray) else column.chunk(0)
    made = pa.ExtensionArray.from_storage(array.type, pa.array(change(array.storage.to_pylist()), array.storage.type))
    return table.set_column(table.column_names.index(name), table.schema.field(name), made)


def sent(tmp_path, message: str) -> list:
    return [path for path in (tmp_path / "stores").rglob(message) if "to-" in str(path)]


@pytest.mark.parametrize("shown", [3, 4])
def test_two_lists_of_survivors(tmp_path, monkeypatch, shown):
    """Three clients are told that oak has vanished, two that it has not; neither list gets a threshold of signatures."""

    def splitting(session):
        roster = aggregator._keys(session, CLOSING)
        sharers = aggregator._shares(session, roster, CLOSING)
        session.gather("masked", sharers, 60.0)
        for name in sharers:
            told = CLIENTS[:4] if name in CLIENTS[:3] else CLIENTS
            session.send("survivors", name, client=list(told))
        session.gather("consent", sharers, 60.0)
        signatures = [session.scalar(session.receive("consent", name), "signature") for name in CLIENTS]
        for name in sharers:
            session.send("consents", name, client=list(CLIENTS[:shown]), signature=signatures[:shown])

    results = turns_of(tmp_path).play({"client": client, "aggregator": splitting}, monkeypatch)
    expected = TwoLists if shown == THRESHOLD else BelowThreshold
    assert all(isinstance(results[one], expected) for one in CLIENTS)
    assert not sent(tmp_path, "unmask")


def test_a_second_list_after_the_first_answer(tmp_path, monkeypatch):
    """A client that is stopped and asked again about other survivors does not sign them, even without its books."""
    turns = turns_of(tmp_path)
    assert isinstance(turns.play(HONEST, monkeypatch)[AGGREGATORS_NAME], Sum)
    turns.hears = lambda me, name, table: table.slice(0, 4) if name == "survivors" else table
    again = turns.play(HONEST, monkeypatch)
    assert [type(again[one]) for one in CLIENTS] == [TwoLists] * 4 + [bool]
    assert again["oak"] is False


@pytest.mark.parametrize(
    "change",
    [
        lambda names: [*names[:4], "stranger"],
        lambda names: [*names[:4], names[3]],
        lambda names: list(reversed(names)),
    ],
)
@pytest.mark.parametrize("message", ["inbox", "survivors"])
def test_lists_that_cannot_be(tmp_path, monkeypatch, change, message):
    turns = turns_of(tmp_path)
    turns.hears = lambda me, name, table: altered(table, "client", change) if name == message else table
    results = turns.play(HONEST, monkeypatch)
    assert all(isinstance(results[one], ForeignList) for one in CLIENTS)
    assert not sent(tmp_path, "unmask")


def test_too_short_a_list(tmp_path, monkeypatch):
    turns = turns_of(tmp_path)
    turns.hears = lambda me, name, table: table.slice(0, 2) if name == "survivors" else table
    results = turns.play(HONEST, monkeypatch)
    assert all(isinstance(results[one], BelowThreshold) for one in CLIENTS)
    assert not sent(tmp_path, "consent")


def test_the_aggregator_in_the_middle(tmp_path, monkeypatch):
    """Keys of its own in a client's place lack that client's signature; the client itself finds them wrong."""
    mine = OwnKeys.draw(Prf(bytes(32))).public().joined()
    turns = turns_of(tmp_path)
    swap = lambda keys: [*keys[:4], mine]  # noqa: E731
    turns.hears = lambda me, name, table: altered(table, "keys", swap) if name == "roster" else table
    results = turns.play(HONEST, monkeypatch)
    assert all(isinstance(results[one], SignatureRefused) and results[one].party == "oak" for one in CLIENTS[:4])
    assert isinstance(results["oak"], ForeignKey)
    assert not sent(tmp_path, "shares")


def test_keys_of_another_sum(tmp_path, monkeypatch):
    """Keys are signed for one round and part: shown again in another, they are refused."""
    turns = turns_of(tmp_path)
    assert isinstance(turns.play(HONEST, monkeypatch)[AGGREGATORS_NAME], Sum)
    with turns.session(AGGREGATORS_NAME) as session:
        table = session.receive("advertise", "ash")
    turns.hears = lambda me, name, found: table if name == "advertise" else found

    def second(session):
        session.enter(2)
        return HONEST[session.role](session)

    results = turns.play({"client": second, "aggregator": second}, monkeypatch)
    assert isinstance(results[AGGREGATORS_NAME], SignatureRefused)


def test_an_altered_share(tmp_path, monkeypatch):
    turns = turns_of(tmp_path)
    flip = lambda shares: [share[:-1] + bytes([share[-1] ^ 1]) for share in shares]  # noqa: E731
    turns.hears = lambda me, name, table: altered(table, "share", flip) if me == AGGREGATORS_NAME and name == "unmask" else table
    assert isinstance(turns.play(HONEST, monkeypatch)[AGGREGATORS_NAME], ForeignShare)


def test_an_altered_box(tmp_path, monkeypatch):
    turns = turns_of(tmp_path)
    flip = lambda boxes: [box[:-1] + bytes([box[-1] ^ 1]) if box else box for box in boxes]  # noqa: E731
    turns.hears = lambda me, name, table: altered(table, "box", flip) if me == "ash" and name == "inbox" else table
    results = turns.play(HONEST, monkeypatch)
    assert isinstance(results["ash"], ForeignShare)
    assert results[AGGREGATORS_NAME].survivors == CLIENTS  # the others' shares are enough


def test_values_that_come_late_stay_masked(tmp_path, monkeypatch):
    """With the mask key of a client that was dropped, its late values are still under its own mask."""
    turns = turns_of(tmp_path)
    turns.lost = {"oak": 2}
    found = {}
    real = aggregator._secrets

    def kept(session, roster, sharers, survivors, closing):
        found["roster"], found["masks"] = roster, real(session, roster, sharers, survivors, closing)[1]
        return real(session, roster, sharers, survivors, closing)

    monkeypatch.setattr(aggregator, "_secrets", kept)
    assert turns.play(HONEST, monkeypatch)[AGGREGATORS_NAME].survivors == CLIENTS[:4]
    turns.lost = {}
    turns.play(HONEST, monkeypatch)
    with turns.session(AGGREGATORS_NAME) as session:
        late = session.values(session.receive("masked", "oak"), "value").to_numpy()
        context = found["roster"].context(session)
    assert fits(found["masks"]["oak"], found["roster"].keys["oak"])
    for other in CLIENTS[:4]:
        seed = aggregator.mask_seed(found["masks"]["oak"], found["roster"].keys[other].mask, context, other)
        late = late - aggregator.pair_mask(seed, 5, found["roster"].place(other), COUNT)
    assert not np.array_equal(late, words("oak"))
    with turns.session("oak") as session:
        own = OwnKeys.draw(Prf(session.prf("secagg", 0).derive("keys")))
    assert np.array_equal(late - own_mask(own.seed, COUNT), words("oak"))  # and under nothing else


def test_a_vector_of_another_length(tmp_path, monkeypatch):
    turns = turns_of(tmp_path)

    def longer(session):
        return contribute(session, np.zeros(COUNT + (session.me == "fir"), dtype=np.uint64), THRESHOLD)

    results = turns.play({**HONEST, "client": longer}, monkeypatch)
    assert results[AGGREGATORS_NAME].code == "TMB-CRYPTO-008"
    assert results[AGGREGATORS_NAME].party == "fir"
    assert not sent(tmp_path, "consents")


def test_disclosures_of_trees_are_pinned():
    told = {
        "statistic": ["value"],
        "splits": ["node", "column", "cut", "missing_left", "gain", "next"],
        "values": ["value", "cover"],
        "verdict": ["loss", "validation", "kept", "stop"],
    }
    assert set(TREES.disclosures()) == {"unmask.share", *(f"{name}.{one}" for name, columns in told.items() for one in columns)}


def test_disclosures_are_pinned():
    assert set(CONTRACT.disclosures()) == {"unmask.share"}
