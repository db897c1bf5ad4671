"""The exchange end to end: sealing, addressing, adoption, and every way in which an artifact can be wrong."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tombolo.storage.books import Equivocation
from tombolo.storage.envelope import (
    AlteredPayload,
    ForeignBinding,
    MalformedEnvelope,
    MisaddressedArtifact,
)
from tombolo.storage.identity import SealRefused, SignatureRefused
from tombolo.storage.meters import METRIC
from tombolo.storage.schema import Disclosed, ForeignSchema, Message, Paillier, Public, UndeclaredColumn
from tombolo.storage.stores.base import TooLarge

NUMBERS = Message("numbers", "guest", "host", {"value": Public("float64", "test")}, learns="numbers", step="1", rows=1000)
SECRETS = Message("secrets", "guest", "host", {"c": Paillier("arbiter")}, learns="nothing", step="2", rows=1000)
HEAD = "to-ben/agreement/r1/000003/1/numbers/head"


def ciphertexts(count: int, width: int = 8) -> pa.FixedSizeBinaryArray:
    return pa.array([bytes([index % 251]) * width for index in range(count)], pa.binary(width))


def test_what_is_sent_arrives_and_is_booked_by_both(wire):
    ann, ben = wire.exchange("ann"), wire.exchange("ben")
    size = ann.send(NUMBERS, "ben", 3, {"value": [1.5, -2.0]})
    receipt = ben.fetch(NUMBERS, "ann", 3)
    assert receipt.table.column("value").combine_chunks().storage.to_pylist() == [1.5, -2.0]
    sent, received = ann.books.entries("sent"), ben.books.entries("received")
    assert [(e.address, e.sha256, e.size, e.rows) for e in sent] == [(e.address, e.sha256, e.size, e.rows) for e in received]
    assert sent[0].size == size == ann.books.bytes_to()["ben"]
    assert receipt.sha256 == received[0].sha256


def test_what_nobody_read_is_booked_as_if_it_were_read(wire):
    ann, ben = wire.exchange("ann"), wire.exchange("ben")
    ann.chunk_bytes = 80
    ann.send(SECRETS, "ben", 0, {"c": SECRETS.columns["c"].wrap(ciphertexts(40))})
    ann.send(NUMBERS, "ben", 3, {"value": [1.5, -2.0]})
    assert ben.fetch(NUMBERS, "ann", 3) is not None
    assert (ben.book_unread("ann"), ben.book_unread("ann")) == (1, 0)
    booked = [sorted((e.address, e.sha256, e.size, e.rows, e.kinds) for e in book) for book in _books(ann, ben)]
    assert booked[0] == booked[1]
    ben.fetch(SECRETS, "ann", 0)  # reading it after all changes nothing
    assert len(ben.books.entries("received")) == 2


def _books(ann, ben):
    return ann.books.entries("sent"), ben.books.entries("received")


def test_what_nobody_read_is_verified_before_it_is_booked(wire):
    wire.exchange("ann").send(NUMBERS, "ben", 3, {"value": [1.5]})
    stored = wire.stores["ann"].get(HEAD)
    wire.stores["ann"].delete(HEAD)
    wire.stores["ann"].put(HEAD, stored.replace(b"numbers", b"numbert"))
    with pytest.raises(SignatureRefused):
        wire.exchange("ben").book_unread("ann")
    wire.stores["ann"].delete(HEAD)
    wire.stores["ann"].put(HEAD.replace("000003", "000004"), stored)
    with pytest.raises(MisaddressedArtifact):
        wire.exchange("ben").book_unread("ann")
    assert not wire.exchange("ben").books.entries("received")


def test_nothing_there_is_none(wire):
    assert wire.exchange("ben").fetch(NUMBERS, "ann", 3) is None


def test_the_store_holds_nothing_readable(wire):
    wire.exchange("ann").send(NUMBERS, "ben", 3, {"value": [1234.5678] * 50})
    stored = b"".join(wire.stores["ann"].get(key) for key in wire.stores["ann"].list())
    assert pa.array([1234.5678]).buffers()[1].to_pybytes() not in stored


def test_a_taken_address_is_adopted(wire):
    wire.exchange("ann").send(NUMBERS, "ben", 3, {"value": [1.0]})
    before = wire.stores["ann"].get(HEAD)
    wire.exchange("ann").send(NUMBERS, "ben", 3, {"value": [1.0]})
    assert wire.stores["ann"].get(HEAD) == before
    assert len(wire.exchange("ann").books.entries("sent")) == 1
    assert wire.exchange("ben").fetch(NUMBERS, "ann", 3) is not None


def test_a_sending_that_died_between_chunks_is_finished_by_a_retry(wire):
    first = wire.exchange("ann")
    first.chunk_bytes = 80
    first.send(SECRETS, "ben", 0, {"c": SECRETS.columns["c"].wrap(ciphertexts(40))})
    prefix = "to-ben/agreement/r1/000000/2/secrets/"
    for key in wire.stores["ann"].list(prefix)[2:]:  # keep two chunks, lose the rest and the head
        wire.stores["ann"].delete(key)
    kept = {key: wire.stores["ann"].get(key) for key in wire.stores["ann"].list(prefix)}
    retry = wire.exchange("ann")
    retry.chunk_bytes = 80
    retry.send(SECRETS, "ben", 0, {"c": SECRETS.columns["c"].wrap(ciphertexts(40))})
    assert all(wire.stores["ann"].get(key) == data for key, data in kept.items())
    table = wire.exchange("ben").fetch(SECRETS, "ann", 0).table
    assert table.column("c").combine_chunks().storage.to_pylist() == ciphertexts(40).to_pylist()
    assert len(wire.stores["ann"].list(prefix)) == 5  # four chunks and the head


@pytest.mark.parametrize(
    "columns",
    [
        {"c": [1, 2, 3]},
        {"c": ciphertexts(3)},
        {"c": SECRETS.columns["c"].wrap(ciphertexts(3)), "extra": [1, 2, 3]},
        {},
        {"c": Paillier("guest").wrap(ciphertexts(3))},
        {"c": NUMBERS.columns["value"].wrap([1.0, 2.0, 3.0])},
        {"c": Disclosed("float64", "test", "none", METRIC).wrap([1.0])},
    ],
)
def test_undeclared_columns_are_refused_before_a_byte_is_written(wire, columns):
    with pytest.raises(UndeclaredColumn) as caught:
        wire.exchange("ann").send(SECRETS, "ben", 0, columns)
    assert wire.stores["ann"].list() == []
    assert "TMB-SCHEMA-001" in str(caught.value)


def send_one(wire) -> None:
    wire.exchange("ann").send(NUMBERS, "ben", 3, {"value": [1.0, 2.0]})


@pytest.mark.parametrize("cut", [0, 3, 4, 7, 9, 200, -1])
def test_truncated(wire, cut):
    send_one(wire)
    wire.change("ann", HEAD, lambda data: data[:cut])
    with pytest.raises((MalformedEnvelope, SignatureRefused, AlteredPayload)):
        wire.exchange("ben").fetch(NUMBERS, "ann", 3)


def test_every_flipped_byte_is_noticed(wire):
    send_one(wire)
    original = wire.stores["ann"].get(HEAD)
    for position in range(0, len(original), 97):
        flipped = bytearray(original)
        flipped[position] ^= 1
        wire.change("ann", HEAD, lambda _, data=bytes(flipped): data)
        with pytest.raises((MalformedEnvelope, SignatureRefused, AlteredPayload, SealRefused)):
            wire.exchange("ben").fetch(NUMBERS, "ann", 3)


def test_an_object_larger_than_any_artifact_is_not_even_read(wire, monkeypatch):
    send_one(wire)
    for limit in ("LARGEST_OBJECT", "LARGEST_HEADER", "_LARGEST_SIGNATURE"):
        monkeypatch.setattr(f"tombolo.storage.exchange.{limit}", 300)
    with pytest.raises(TooLarge, match="bytes"):
        wire.exchange("ben").fetch(NUMBERS, "ann", 3)


def test_replayed_at_another_round_or_run(wire):
    send_one(wire)
    data = wire.stores["ann"].get(HEAD)
    wire.stores["ann"].put(HEAD.replace("000003", "000004"), data)
    wire.stores["ann"].put(HEAD.replace("/r1/", "/r2/"), data)
    with pytest.raises(MisaddressedArtifact):
        wire.exchange("ben").fetch(NUMBERS, "ann", 4)
    with pytest.raises(MisaddressedArtifact):
        wire.exchange("ben", run="r2").fetch(NUMBERS, "ann", 3)


def test_addressed_to_another_party(wire):
    send_one(wire)
    wire.stores["ann"].put(HEAD.replace("to-ben", "to-cy"), wire.stores["ann"].get(HEAD))
    with pytest.raises(MisaddressedArtifact):
        wire.exchange("cy").fetch(NUMBERS, "ann", 3)


def test_signed_by_another_party(wire):
    wire.exchange("cy").send(NUMBERS, "ben", 3, {"value": [9.0]})
    wire.stores["ann"].put(HEAD, wire.stores["cy"].get(HEAD))
    with pytest.raises(SignatureRefused):
        wire.exchange("ben").fetch(NUMBERS, "ann", 3)


def test_made_under_another_agreement_names_both_digests(wire):
    wire.exchange("ann", binding="a" * 64).send(NUMBERS, "ben", 3, {"value": [1.0]})
    with pytest.raises(ForeignBinding) as caught:
        wire.exchange("ben", binding="b" * 64).fetch(NUMBERS, "ann", 3)
    assert "a" * 16 in str(caught.value) and "b" * 16 in str(caught.value)


def test_other_bytes_at_a_received_address_are_equivocation(wire):
    send_one(wire)
    assert wire.exchange("ben").fetch(NUMBERS, "ann", 3) is not None
    wire.stores["ann"].delete(HEAD)
    wire.exchange("ann").send(NUMBERS, "ben", 3, {"value": [7.0]})
    with pytest.raises(Equivocation):
        wire.exchange("ben").fetch(NUMBERS, "ann", 3)


def test_a_sender_with_another_schema_is_refused(wire):
    other = Message("numbers", "guest", "host", {"value": Disclosed("float64", "test", "none", METRIC)}, learns="more", step="1")
    wire.exchange("ann").send(other, "ben", 3, {"value": [1.0]})
    with pytest.raises(ForeignSchema):
        wire.exchange("ben").fetch(NUMBERS, "ann", 3)


def test_a_failed_artifact_stays_where_it_is(wire):
    send_one(wire)
    wire.change("ann", HEAD, lambda data: data[:-1])
    with pytest.raises(AlteredPayload):
        wire.exchange("ben").fetch(NUMBERS, "ann", 3)
    assert wire.stores["ann"].list() and HEAD in wire.stores["ann"].list()
    assert wire.exchange("ben").books.entries("received") == []
