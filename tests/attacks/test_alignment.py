"""Attacks on alignment: what an eavesdropper, a peer or an arbiter could try with the messages, and why it fails."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pytest

from tests.federation import Federation, federation
from tombolo.fl_tasks.alignment import pair, ring
from tombolo.fl_tasks.alignment.messages import MESSAGES
from tombolo.fl_tasks.alignment.order import OrderMismatch, check_order
from tombolo.fl_tasks.alignment.salt import BrokenCommitment, ListTooSmall
from tombolo.fl_tasks.alignment.two_party import DOMAIN, WrongListSize
from tombolo.fl_tasks.crypto import ristretto
from tombolo.fl_tasks.crypto.errors import InvalidPoint
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.schema import ForeignNumber

STUB = pa.table({"id": ["a"]})
CUSTOMERS = [f"customer-{number:03d}" for number in range(70)]
IDS = {"clinic": CUSTOMERS[:40], "lab": CUSTOMERS[20:70], "mill": CUSTOMERS[10:50]}


def layout(tmp_path, parties=("clinic", "lab"), **terms) -> tuple[Federation, str]:
    fed = federation(tmp_path, dict.fromkeys(parties, STUB), **terms)
    return fed, fed.start()


def intersect(fed: Federation, run: str, protocol, ids=IDS, least: int = 10) -> dict[str, list[int]]:
    def data(session: Session) -> list[int]:
        return protocol.common_rows(session, ids[session.me], least)

    def arbiter(session: Session) -> None:
        if protocol is ring:
            ring.arbiter(session)

    return fed.roles(run, MESSAGES, "align", {"guest": data, "host": data, "arbiter": arbiter})


@pytest.fixture
def overheard(monkeypatch) -> list[tuple[str, str, str, bytes]]:
    """Everything that is received by anybody, in the clear: sender, recipient, message, bytes."""
    heard = []
    real = Session.receive

    def receive(self, name, frm, rows=None):
        table = real(self, name, frm, rows)
        for column in table.columns:
            storage = column.combine_chunks()
            storage = storage.chunk(0).storage if isinstance(storage, pa.ChunkedArray) else storage.storage
            heard.append(
                (
                    frm,
                    self.me,
                    name,
                    b"".join(str(one).encode() if not isinstance(one, bytes) else one for one in storage.to_pylist()),
                )
            )
        return table

    monkeypatch.setattr(Session, "receive", receive)
    return heard


@pytest.mark.parametrize(("protocol", "parties"), [(pair, ("clinic", "lab")), (ring, ("clinic", "lab", "mill"))])
def test_all_find_the_same_rows_and_a_dictionary_finds_nothing(tmp_path, overheard, protocol, parties):
    fed, run = layout(tmp_path, parties)
    rows = intersect(fed, run, protocol)
    found = {party: [IDS[party][at] for at in rows[party]] for party in parties}
    common = set.intersection(*(set(IDS[party]) for party in parties))
    assert len({tuple(one) for one in found.values()}) == 1
    assert set(found["clinic"]) == common
    parts = {data for _, _, name, data in overheard if name == "salt_opening" and len(data) == 32}
    joint = [hashlib.sha256(b"tombolo joint salt\0" + b"".join(order)).digest() for order in _orders(parts)]
    transcript = b"".join(data for _, _, name, data in overheard if name not in ("salt_opening", "common_positions"))
    for guess in {one for ids in IDS.values() for one in ids}:
        assert guess.encode() not in transcript
        for salted in joint:
            assert ristretto.hash_to_group(guess.encode(), DOMAIN + salted) not in transcript
        for digest in (hashlib.sha256, hashlib.sha512, hashlib.sha1):
            assert digest(guess.encode()).digest() not in transcript


def _orders(parts: set[bytes]) -> list[tuple[bytes, ...]]:
    from itertools import permutations

    return list(permutations(parts))


def test_two_runs_share_no_point(tmp_path, overheard):
    fed, run = layout(tmp_path)
    intersect(fed, run, pair)
    first = {data[at : at + 32] for _, _, name, data in overheard if "blinded" in name for at in range(0, len(data), 32)}
    overheard.clear()
    intersect(fed, fed.start("run-2"), pair)
    second = {data[at : at + 32] for _, _, name, data in overheard if "blinded" in name for at in range(0, len(data), 32)}
    assert len(first) == len(second) == 2 * (40 + 50) - 20  # the twenty common ids meet in one point each
    assert not first & second


def test_a_tiny_list_cannot_probe(tmp_path, overheard):
    fed, run = layout(tmp_path)
    with pytest.raises(ListTooSmall) as caught:
        intersect(fed, run, pair, {**IDS, "lab": ["customer-020"]})
    assert "lab" in str(caught.value)
    assert not any("blinded" in name for _, _, name, _ in overheard)


def test_a_peer_sees_a_lie_about_the_size(tmp_path, monkeypatch):
    fed, run = layout(tmp_path)
    real = Session.send

    def send(self, name, to=None, /, **columns):
        if name == "salt_opening" and self.me == "lab":
            columns["size"] += 1
        real(self, name, to, **columns)

    monkeypatch.setattr(Session, "send", send)
    with pytest.raises(BrokenCommitment):
        intersect(fed, run, pair)


@pytest.mark.parametrize("forged", ["identity", "not canonical", "repeated", "short"])
def test_forged_points_are_refused(tmp_path, monkeypatch, forged):
    fed, run = layout(tmp_path)
    real = Session.send

    def send(self, name, to=None, /, **columns):
        if name == "blinded_ids" and self.me == "lab":
            points = columns["point"].to_pylist()
            changed = {"identity": bytes(32), "not canonical": b"\xff" * 32, "repeated": points[1]}.get(forged)
            points = points[:-1] if forged == "short" else [changed, *points[1:]]
            columns = {"point": pa.array(points, pa.binary(32))}
        real(self, name, to, **columns)

    monkeypatch.setattr(Session, "send", send)
    with pytest.raises(InvalidPoint if forged in ("identity", "not canonical") else WrongListSize):
        intersect(fed, run, pair)


def test_a_different_order_stops_the_run(tmp_path):
    fed, run = layout(tmp_path)
    lists = {"clinic": ["a", "b", "c"], "lab": ["a", "c", "b"]}
    program = lambda session: check_order(session, lists[session.me])  # noqa: E731
    with pytest.raises(OrderMismatch):
        fed.roles(run, MESSAGES, "align", {"guest": program, "host": program, "arbiter": lambda session: None})


WITHOUT_ARBITER = {"roles": {"clinic": "guest", "lab": "host", "mill": "host"}, "protocol": "logistic-guest"}


def test_a_guest_that_intersects_does_not_see_whom_each_host_knows(tmp_path, overheard, monkeypatch):
    fed, run = layout(tmp_path, tuple(IDS), **WITHOUT_ARBITER)
    orders = []
    real = Session.prf

    def prf(self, *labels):
        made = real(self, *labels)
        if self.me == "clinic" and labels == ("order",):
            orders.append(made.stream().permutation(1024))
        return made

    monkeypatch.setattr(Session, "prf", prf)
    rows = intersect(fed, run, ring)
    assert {IDS["clinic"][at] for at in rows["clinic"]} == set.intersection(*map(set, IDS.values()))
    finals = [ristretto.split(data) for _, to, name, data in overheard if name == "final_list" and to == "clinic"]
    assert len(finals) == 2  # the guest's list and the other host's; the third is the guest's own work
    (order,) = orders
    for mine, theirs in (finals, reversed(finals)):
        known = set(theirs)
        guessed = {int(order[at]) for at, token in enumerate(mine) if token in known}
        truth = {at for at, one in enumerate(IDS["clinic"]) if one in IDS["mill"] or one in IDS["lab"]}
        assert len(guessed) >= 20  # the size of the overlap is visible
        assert len(guessed & truth) < len(guessed) / 2  # whom it holds is not


@pytest.mark.parametrize("terms", [{}, WITHOUT_ARBITER], ids=["arbiter", "no arbiter"])
def test_three_parties_show_rounded_sizes_only(tmp_path, overheard, terms):
    fed, run = layout(tmp_path, tuple(IDS), **terms)
    intersect(fed, run, ring)
    assert {data for _, _, name, data in overheard if name == "salt_opening" and len(data) < 32} == {b"1024"}
    assert {len(data) for _, _, name, data in overheard if name in ("ring_list", "final_list")} == {1024 * 32}


@pytest.mark.parametrize("forged", [[0, 0], [-1], [1024]])
def test_positions_that_cannot_be_are_refused(tmp_path, monkeypatch, forged):
    fed, run = layout(tmp_path, tuple(IDS), **WITHOUT_ARBITER)
    real = Session.send

    def send(self, name, to=None, /, **columns):
        real(self, name, to, **({"position": forged} if name == "shuffled_positions" else columns))

    monkeypatch.setattr(Session, "send", send)
    with pytest.raises((ring.BadPositions, ForeignNumber)) as caught:
        intersect(fed, run, ring)
    assert "clinic" in str(caught.value)


def test_disclosures_are_these_and_no_more():
    positions = {f"{name}.position" for name in ("common_positions", "shuffled_positions", "guest_positions")}
    assert set(MESSAGES.disclosures()) == {"salt_opening.size", *positions, "leaving.leaves"}
