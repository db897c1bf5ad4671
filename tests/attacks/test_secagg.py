"""Attacks on a secure sum: an aggregator that shows different lists or keys, asks twice, replays shares, keeps a late client's
values, cuts a client off from its neighbours, or has clients on its side; a client that alters its shares. All are refused, or
come to nothing."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tests.fl_tasks.learning.horizontal.parties import AGGREGATORS_NAME, Turns
from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.learning.horizontal.secagg import MESSAGES, Closing, Sum, aggregate, aggregator, contribute, graph, to_words
from tombolo.fl_tasks.learning.horizontal.secagg import client as clients_part
from tombolo.fl_tasks.learning.horizontal.secagg.keys import ForeignKey, ForeignShare, OwnKeys, fits, mask_seed, seed_digest
from tombolo.fl_tasks.learning.horizontal.secagg.masking import add_mask, pair_sign
from tombolo.fl_tasks.learning.horizontal.secagg.messages import BelowThreshold, ForeignList, TwoLists
from tombolo.fl_tasks.learning.horizontal.secagg.shamir import PRIME, SHARE_BYTES, combine
from tombolo.fl_tasks.protocols.horizontal_trees.messages import MESSAGES as TREES
from tombolo.storage.identity import SignatureRefused

CLIENTS = ("ash", "birch", "cedar", "fir", "oak")
THRESHOLD, COUNT = 4, 3
CLOSING = Closing(THRESHOLD, 60.0, CLIENTS)


def words(client: str) -> np.ndarray:
    return to_words(np.arange(COUNT) + 7.0 * CLIENTS.index(client), len(CLIENTS))


def turns_of(tmp_path) -> Turns:
    return Turns(tmp_path / "stores", CLIENTS, MESSAGES)


def client(session):
    return contribute(session, words(session.me), THRESHOLD)


HONEST = {"client": client, "aggregator": lambda session: aggregate(session, COUNT, CLOSING)}


def altered(table: pa.Table, name: str, change) -> pa.Table:
    """``change`` applied to one column's values."""
    column = table.column(name).combine_chunks()
    array = column if isinstance(column, pa.ExtensionArray) else column.chunk(0)
    made = pa.ExtensionArray.from_storage(array.type, pa.array(change(array.storage.to_pylist()), array.storage.type))
    return table.set_column(table.column_names.index(name), table.schema.field(name), made)


def naming(table: pa.Table, names) -> pa.Table:
    """A list of clients with other names."""
    kind = table.schema.field("client").type
    return pa.table([pa.ExtensionArray.from_storage(kind, pa.array(list(names), kind.storage_type))], table.column_names)


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


def test_both_answers_of_one_client(tmp_path, monkeypatch):
    """All answers together give of every client one secret; asked for the other one later, clients refuse."""
    turns = turns_of(tmp_path)
    turns.lost = {"oak": 2}
    assert turns.play(HONEST, monkeypatch)[AGGREGATORS_NAME].survivors == CLIENTS[:4]
    with turns.session(AGGREGATORS_NAME) as session:
        roster = aggregator._keys(session, CLOSING)
        answers = {name: session.receive("unmask", name) for name in CLIENTS[:4]}
    assert all(session.values(one, "client").to_pylist() == list(CLIENTS) for one in answers.values())
    shares = {roster.places[name]: session.values(one, "share").to_pylist() for name, one in answers.items()}
    for number, about in enumerate(CLIENTS):
        secret = combine({place: theirs[number] for place, theirs in shares.items()})
        assert (seed_digest(secret) == roster.keys[about].seed_digest) == (about != "oak")
        assert fits(secret, roster.keys[about]) == (about == "oak")
    before = {path: (path / "head").read_bytes() for path in sent(tmp_path, "unmask")}
    turns.lost = {}
    turns.hears = lambda me, name, table: naming(table, CLIENTS) if name == "survivors" else table
    again = turns.play(HONEST, monkeypatch)
    assert all(isinstance(again[one], TwoLists) for one in CLIENTS[:4])
    assert {path: (path / "head").read_bytes() for path in sent(tmp_path, "unmask")} == before


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


@pytest.mark.parametrize("threshold", [2, THRESHOLD])
def test_two_survivors(tmp_path, monkeypatch, threshold):
    """Of whom each would know the other's values from the sum: refused by clients whatever the threshold says."""
    turns = turns_of(tmp_path)
    turns.hears = lambda me, name, table: table.slice(0, 2) if name == "survivors" else table
    programs = {
        "client": lambda session: contribute(session, words(session.me), threshold),
        "aggregator": lambda session: aggregate(session, COUNT, Closing(threshold, 60.0, CLIENTS)),
    }
    results = turns.play(programs, monkeypatch)
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
    assert results["ash"] is True
    assert results[AGGREGATORS_NAME].survivors == CLIENTS  # the others' shares are enough


@pytest.mark.parametrize("message", ["inbox", "unmask"])
def test_shares_of_another_sum(tmp_path, monkeypatch, message):
    """Shares are sealed for one roster of one sum and fit its secrets alone: replayed in the next, they give nothing."""
    turns = turns_of(tmp_path)
    assert isinstance(turns.play(HONEST, monkeypatch)[AGGREGATORS_NAME], Sum)
    victim, sender = ("ash", AGGREGATORS_NAME) if message == "inbox" else (AGGREGATORS_NAME, "ash")
    with turns.session(victim) as session:
        table = session.receive(message, sender)
    turns.hears = lambda me, name, found: table if (me, name) == (victim, message) else found

    def second(session):
        session.enter(2)
        return HONEST[session.role](session)

    results = turns.play({"client": second, "aggregator": second}, monkeypatch)
    if victim == AGGREGATORS_NAME:
        assert isinstance(results[victim], ForeignShare)
        assert not any(isinstance(one, Sum) for one in results.values())
    else:  # the others' shares are enough
        assert results[victim] is True and np.array_equal(results[AGGREGATORS_NAME].words, sum(map(words, CLIENTS)))


def test_shares_for_somebody_else(tmp_path, monkeypatch):
    """A box is bound to its sender and its recipient: in another one's place it does not open."""
    turns = turns_of(tmp_path)
    swap = lambda boxes: [boxes[0], boxes[2], boxes[1], *boxes[3:]]  # noqa: E731
    turns.hears = lambda me, name, table: altered(table, "box", swap) if me == "ash" and name == "inbox" else table
    results = turns.play(HONEST, monkeypatch)
    assert results["ash"] is True and np.array_equal(results[AGGREGATORS_NAME].words, sum(map(words, CLIENTS)))


def completing(shares: dict[int, bytes], secret: bytes, place: int) -> bytes:
    """The share at ``place`` that makes these shares those of ``secret``: Lagrange's polynomial through them and it."""
    points, p = {0: int.from_bytes(secret, "big")} | {x: int.from_bytes(one, "big") for x, one in shares.items()}, int(PRIME)
    total = 0
    for x, y in points.items():
        for other in points:
            if other != x:
                y = y * (place - other) * pow(x - other, -1, p) % p
        total += y
    return (total % p).to_bytes(SHARE_BYTES, "big")


@pytest.mark.parametrize("size", [5, 12])
def test_the_aggregator_with_all_but_one_of_the_shares(tmp_path, monkeypatch, size):
    """One share of a client's mask key short of the threshold, every key is as likely; its values stay under the masks that it
    shares with the honest, and only the sum over these is known. In the complete graph, and in one with eight neighbours each."""
    monkeypatch.setattr(graph, "COMPLETE_UP_TO", 5)
    names = tuple(f"client{number:02d}" for number in range(size))
    threshold = 2 * size // 3 + 1
    values = {name: to_words(np.arange(COUNT) + 7.0 * names.index(name), size) for name in names}
    kept = {}
    real = aggregator._secrets

    def keeping(session, roster, sharers, survivors, closing):
        kept["roster"], (kept["seeds"], masks) = roster, real(session, roster, sharers, survivors, closing)
        return kept["seeds"], masks

    monkeypatch.setattr(aggregator, "_secrets", keeping)
    turns = Turns(tmp_path / "stores", names, MESSAGES)
    programs = {
        "client": lambda session: contribute(session, values[session.me], threshold),
        "aggregator": lambda session: aggregate(session, COUNT, Closing(threshold, 60.0, names)),
    }
    assert isinstance(turns.play(programs, monkeypatch)[AGGREGATORS_NAME], Sum)
    roster, target = kept["roster"], names[0]
    corrupt = roster.neighbours(target, names)[: roster.graph.threshold - 1]
    honest = [name for name in names if name not in corrupt]

    keys, shares = {}, {}
    for name in corrupt:  # what they hold: their own keys, and what target sealed to them
        with turns.session(name) as session:
            keys[name] = OwnKeys.draw(Prf(session.prf("secagg", 0).derive("keys")))
            theirs = clients_part._roster(session, keys[name].public(), threshold)
            _, boxes = clients_part._inbox(session, theirs)
            pair = clients_part._opened(session, keys[name], theirs, boxes)[target]
            shares[roster.places[name]] = pair[SHARE_BYTES:]
    guess = combine(shares)
    assert guess is None or not fits(guess, roster.keys[target])
    with turns.session(target) as session:
        own = OwnKeys.draw(Prf(session.prf("secagg", 0).derive("keys")))
    for secret in (own.mask, bytes(32), bytes(range(32))):
        whole = shares | {roster.places[target]: completing(shares, secret, roster.places[target])}
        assert combine(whole) == secret

    left = {}
    with turns.session(AGGREGATORS_NAME) as session:  # what the aggregator holds, less every mask that is known to it and to them
        for name in honest:
            left[name] = session.values(session.receive("masked", name, COUNT), "value").to_numpy().copy()
            add_mask(left[name], kept["seeds"][name], -1)
            for other in roster.neighbours(name, corrupt):
                seed = mask_seed(keys[other].mask, roster.keys[name].mask, roster.context(), name)
                add_mask(left[name], seed, -pair_sign(roster.places[name], roster.places[other]))
    assert not any(np.array_equal(left[name], values[name]) for name in honest)
    assert np.array_equal(sum(left.values()), sum(values[name] for name in honest))
    for other in roster.neighbours(target, honest):
        seed = mask_seed(own.mask, roster.keys[other].mask, roster.context(), other)
        add_mask(left[target], seed, -pair_sign(roster.places[target], roster.places[other]))
    assert np.array_equal(left[target], values[target])  # under those masks, and nothing else


def test_a_client_cut_off_from_its_neighbours(tmp_path, monkeypatch):
    """A list of survivors that is long enough for all together, but too short of one neighbourhood: no client signs it."""
    monkeypatch.setattr(graph, "COMPLETE_UP_TO", 5)
    monkeypatch.setattr(graph, "DROPPED", 12)
    names = tuple(f"client{number:02d}" for number in range(12))
    told = {}

    real = aggregator._keys

    def choosing(session, closing):
        roster = real(session, closing)
        gone = roster.neighbours(names[0], names)[:3]
        told["survivors"] = [name for name in names if name not in gone]
        return roster

    monkeypatch.setattr(aggregator, "_keys", choosing)
    turns = Turns(tmp_path / "stores", names, MESSAGES)
    turns.hears = lambda me, name, table: naming(table, told["survivors"]) if name == "survivors" else table
    programs = {
        "client": lambda session: contribute(session, np.zeros(COUNT, dtype=np.uint64), 9),
        "aggregator": lambda session: aggregate(session, COUNT, Closing(9, 60.0, names)),
    }
    results = turns.play(programs, monkeypatch)
    assert len(told["survivors"]) == 9
    assert all(isinstance(results[one], BelowThreshold) for one in names)
    assert not sent(tmp_path, "consent") and not sent(tmp_path, "unmask")


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
        late = session.values(session.receive("masked", "oak", COUNT), "value").to_numpy().copy()
        context = found["roster"].context()
    assert fits(found["masks"]["oak"], found["roster"].keys["oak"])
    for other in CLIENTS[:4]:
        seed = aggregator.mask_seed(found["masks"]["oak"], found["roster"].keys[other].mask, context, other)
        add_mask(late, seed, -pair_sign(5, found["roster"].places[other]))
    assert not np.array_equal(late, words("oak"))
    with turns.session("oak") as session:
        own = OwnKeys.draw(Prf(session.prf("secagg", 0).derive("keys")))
    add_mask(late, own.seed, -1)
    assert np.array_equal(late, words("oak"))  # under its own mask, and nothing else


def test_disclosures_of_trees_are_pinned():
    told = {
        "statistic": ["value"],
        "splits": ["node", "column", "cut", "missing_left", "gain", "next"],
        "values": ["value", "cover"],
        "verdict": ["loss", "validation", "kept", "stop"],
    }
    assert set(TREES.disclosures()) == {"unmask.share", *(f"{name}.{one}" for name, columns in told.items() for one in columns)}


def test_disclosures_are_pinned():
    assert set(MESSAGES.disclosures()) == {"unmask.share"}
