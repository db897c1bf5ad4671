"""Attacks on alignment by oblivious transfer extension: forged, corrupted and replayed messages, guessed tags, a dictionary."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.federation import Federation, federation
from tombolo.fl_tasks.alignment import pair, salt
from tombolo.fl_tasks.alignment.kkrt import base_transfers
from tombolo.fl_tasks.alignment.kkrt.base_transfers import Chooser
from tombolo.fl_tasks.alignment.kkrt.ids import blocks, code_words, for_function
from tombolo.fl_tasks.alignment.kkrt.messages import BadTransfer, UnknownToken
from tombolo.fl_tasks.alignment.kkrt.tags import tag_bytes
from tombolo.fl_tasks.alignment.messages import KKRT, MESSAGES
from tombolo.fl_tasks.crypto import ristretto
from tombolo.fl_tasks.crypto.errors import InvalidPoint
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import CodedError
from tombolo.storage.schema import TooManyRows

STUB = pa.table({"id": ["a"]})
CUSTOMERS = [f"customer-{number:03d}" for number in range(70)]
IDS = {"clinic": CUSTOMERS[:40], "lab": CUSTOMERS[20:70]}  # the clinic has fewer: it receives, the lab sends
COMMON = set(CUSTOMERS[20:40])
Columns = dict[str, Any]


def layout(tmp_path) -> Federation:
    alignment = {"id": [{"column": "id"}], "protocol": "kkrt"}
    return federation(tmp_path, {"clinic": STUB, "lab": STUB}, alignment=alignment)


def intersect(fed: Federation, run: str, ids=IDS) -> dict[str, list[str]]:
    def data(session: Session) -> list[str]:
        return [ids[session.me][at] for at in pair.common_rows(session, ids[session.me], 10)]

    return fed.roles(run, MESSAGES, "align", {"guest": data, "host": data, "arbiter": lambda session: None})


@pytest.fixture
def forge(monkeypatch) -> Callable[[str, Callable[[Columns], Columns]], None]:
    """Let the sender of a message send something else."""

    def install(message: str, change: Callable[[Columns], Columns]) -> None:
        real = Session.send

        def send(self, name, to=None, /, **columns):
            real(self, name, to, **(change(columns) if name == message else columns))

        monkeypatch.setattr(Session, "send", send)

    return install


@pytest.fixture
def overheard(monkeypatch) -> dict[str, list[pa.Table]]:
    """Everything that the two parties receive, in the clear, by message."""
    heard: dict[str, list[pa.Table]] = {}
    real = Session.receive

    def receive(self, name, frm, rows=None):
        table = real(self, name, frm, rows)
        heard.setdefault(name, []).append(table)
        return table

    monkeypatch.setattr(Session, "receive", receive)
    return heard


def fixed(values: list[bytes], width: int) -> pa.Array:
    return pa.array(values, pa.binary(width))


def changed(name: str, change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Columns], Columns]:
    def forged(columns: Columns) -> Columns:
        values = change(columns[name].to_pylist())
        other = {key: fixed(one.to_pylist()[: len(values)], one.type.byte_width) for key, one in columns.items()}
        return {**other, name: fixed(values, len(values[0]))}

    return forged


def cut(values: list[bytes]) -> list[bytes]:
    return values[:-1]


def narrow(values: list[bytes]) -> list[bytes]:
    return [one[:-1] for one in values]


def twice(values: list[bytes]) -> list[bytes]:
    return [values[0], *values[:-1]]


def exchanged(values: list[bytes]) -> list[bytes]:
    return [values[1], values[0], *values[2:]]


def of_bytes(byte: bytes) -> Callable[[list[bytes]], list[bytes]]:
    return lambda values: [byte * 32, *values[1:]]


@pytest.mark.parametrize(
    ("message", "change", "error", "culprit"),
    [
        ("base_choices", changed("zero", of_bytes(b"\0")), InvalidPoint, "lab"),
        ("base_choices", changed("one", of_bytes(b"\xff")), InvalidPoint, "lab"),
        ("base_choices", changed("zero", cut), BadTransfer, "lab"),
        ("base_choices", changed("zero", narrow), InvalidPoint, "lab"),
        ("base_reply", lambda given: {**given, "point": fixed([bytes(32)], 32)}, InvalidPoint, "clinic"),
        ("base_reply", lambda given: {**given, "seed": b"short"}, BadTransfer, "clinic"),
        ("code_matrix", changed("row", cut), BadTransfer, "clinic"),
        ("code_matrix", changed("row", narrow), BadTransfer, "clinic"),
        ("id_tags", changed("first", cut), BadTransfer, "lab"),
        ("id_tags", changed("second", narrow), BadTransfer, "lab"),
        ("id_tags", changed("third", twice), BadTransfer, "lab"),
        ("id_tags", changed("first", exchanged), BadTransfer, "lab"),
        ("common_tokens", changed("token", twice), BadTransfer, "clinic"),
        ("common_tokens", changed("token", narrow), BadTransfer, "clinic"),
        ("common_tokens", changed("token", exchanged), BadTransfer, "clinic"),
        ("common_tokens", lambda given: {"token": fixed([bytes([at]) * 16 for at in range(41)], 16)}, TooManyRows, "clinic"),
        ("common_tokens", lambda given: {"token": fixed([b"guess" + bytes(11)], 16)}, UnknownToken, "clinic"),
    ],
)
def test_forged_messages_are_refused_and_their_sender_is_named(tmp_path, forge, message, change, error, culprit):
    fed = layout(tmp_path)
    run = fed.start()
    forge(message, change)
    with pytest.raises(CodedError) as caught:
        intersect(fed, run)
    assert type(caught.value) is error
    assert caught.value.party == culprit


def test_a_pair_of_points_with_a_known_key_is_refused(tmp_path, monkeypatch):
    """A base that is the identity gives a key that does not depend on the receiver's secret."""
    real = Chooser.__init__

    def init(self, stream, salt):
        real(self, stream, salt)
        zeros, ones = self.points
        identity = ristretto.divide(ones[0], ones[0])
        zeros[0] = ristretto.divide(identity, base_transfers._hash(salt, 0, 0, ones[0]))

    monkeypatch.setattr(Chooser, "__init__", init)
    fed = layout(tmp_path)
    with pytest.raises(InvalidPoint) as caught:
        intersect(fed, fed.start())
    assert caught.value.party == "lab"


def test_a_corrupted_matrix_loses_ids_and_makes_none_common(tmp_path, forge):
    """Half of the rows changed: their bins' tags no longer fit, the others' do, and nothing fits that did not before."""
    fed = layout(tmp_path)
    run = fed.start()
    forge("code_matrix", changed("row", lambda rows: [bytes(255 - at for at in one) for one in rows[: 1 << 13]] + rows[1 << 13 :]))
    found = intersect(fed, run)
    assert found["clinic"] == found["lab"]
    assert set(found["lab"]) < COMMON
    assert found["lab"]


def test_tags_that_were_guessed_fit_nothing(tmp_path, forge):
    random = np.random.default_rng(1)
    fed = layout(tmp_path)
    run = fed.start()
    forge("id_tags", lambda given: {name: fixed(sorted(random.bytes(11) for _ in range(50)), 11) for name in given})
    assert intersect(fed, run)["clinic"] == []
    for size in (10**5, 10**6, 10**7, 10**9):  # all comparisons at once
        assert 3 * size * size / 2 ** (8 * tag_bytes(size, size)) <= 2**-40


def test_messages_of_an_earlier_run_are_of_no_use(tmp_path, forge, overheard):
    """The sender answers with the tags of the run before, in an envelope of this run: no id is common by them."""
    fed = layout(tmp_path)
    assert set(intersect(fed, fed.start())["clinic"]) == COMMON
    (before,) = overheard["id_tags"]
    run = fed.start("run-2")
    forge("id_tags", lambda given: {name: before.column(name).combine_chunks().storage for name in given})
    assert intersect(fed, run)["clinic"] == []


def test_two_runs_share_nothing(tmp_path, overheard):
    fed = layout(tmp_path)
    for run in ("run-1", "run-2"):
        assert set(intersect(fed, fed.start(run))["lab"]) == COMMON
    for name in ("base_choices", "base_reply", "code_matrix", "id_tags", "common_tokens"):
        first, second = (values(table) for table in overheard[name])
        assert not first & second


def values(table: pa.Table) -> set[bytes]:
    return {one for column in table.columns for chunk in column.chunks for one in chunk.storage.to_pylist()}


def test_a_dictionary_finds_nothing_in_the_messages(tmp_path, overheard):
    """With the salt and all messages in the clear, no guess can be tested: neither hashes of ids nor their code words appear."""
    fed = layout(tmp_path)
    intersect(fed, fed.start())
    parts = [one for table in overheard["salt_opening"] for one in values(table) if isinstance(one, bytes)]
    transcript = b"".join(one for name, tables in overheard.items() if name != "salt_opening" for one in values(tables[0]))
    for order in (parts, parts[::-1]):
        salt = hashlib.sha256(b"tombolo joint salt\0" + b"".join(order)).digest()
        guessed = blocks(CUSTOMERS, salt)
        for function in range(3):
            words = code_words(for_function(guessed, function), salt)
            assert not any(one.tobytes() in transcript for one in (*guessed, *words))
    assert not any(one.encode() in transcript for one in CUSTOMERS)


def test_the_matrix_is_uniform_whoever_is_in_it(tmp_path, overheard):
    fed = layout(tmp_path)
    intersect(fed, fed.start())
    (table,) = overheard["code_matrix"]
    bits = np.unpackbits(np.frombuffer(b"".join(table.column("row").combine_chunks().storage.to_pylist()), np.uint8))
    assert abs(bits.mean() - 0.5) < 6 * 0.5 / np.sqrt(len(bits))


def test_disclosures_are_these_and_no_more():
    assert set(KKRT.disclosures()) == {"salt_opening.size"}


@pytest.mark.parametrize("claimed", [(1 << 27) + 1, 1 << 40, (1 << 53) - 1])
def test_a_list_of_a_size_that_the_agreement_does_not_allow(tmp_path, claimed):
    """The lab claims a size to which it has committed. The clinic computes no parts and waits for no artifacts of them."""
    fed = layout(tmp_path)

    def honest(session: Session) -> list[int]:
        return pair.common_rows(session, IDS["clinic"], 10)

    def liar(session: Session) -> None:
        own = bytes(32)
        commitment = salt._commitment(session.me, own, claimed)
        session.send("salt_commitment", hash=pa.array([commitment], pa.binary(32)))
        session.send("salt_opening", salt=own, size=claimed)

    with pytest.raises(salt.ListTooLarge) as caught:
        fed.roles(fed.start(), MESSAGES, "align", {"guest": honest, "host": liar, "arbiter": lambda session: None})
    assert caught.value.party == "lab"
