"""A party's record: appended once, whoever appends, and nothing in it changes unseen."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tombolo.storage.errors import CodedError
from tombolo.storage.identity import PartyKeys
from tombolo.storage.ledger.blocks import Blocks, OtherBlock
from tombolo.storage.ledger.chain import (
    FIRST_PREVIOUS,
    SEGMENT_ENTRIES,
    BadSegment,
    Chain,
    Segment,
    segment_key,
)
from tombolo.storage.ledger.entries import BadEntry, Entry
from tombolo.storage.stores.local import LocalStore
from tombolo.storage.stores.memory import MemoryStore

KEYS = PartyKeys.new("ann")


def made(run: str, *subjects: str, kind: str = "metrics") -> list[Entry]:
    return [Entry.now(kind, run, subject, {"value": 1.5}) for subject in subjects]


def chain(store=None) -> Chain:
    return Chain(store or MemoryStore(), KEYS, "trial")


def test_entries_come_back_in_order():
    book = chain()
    assert book.head() is None and list(book.entries()) == []
    first, second = made("r1", "a", "b"), made("r2", "a")
    assert book.append(first) == 2
    assert book.append(second) == 1
    assert list(book.entries()) == [*first, *second]
    assert list(book.entries("r2")) == second
    assert [one.header.index for one in book.segments()] == [1, 2]
    assert [one.header.previous for one in book.segments()] == [FIRST_PREVIOUS, book.segment(1).header.digest]
    for one in book.segments():
        one.verify(KEYS.signing.public())


def test_what_is_recorded_stays_as_it_was_first():
    book = chain()
    first = made("r1", "a")
    book.append(first)
    again = Entry("metrics", "r1", "a", {"value": 9.0}, "later")
    assert book.append([again]) == 0
    assert list(book.entries()) == first
    assert book.append([again, *made("r1", "b", "b")]) == 1


def test_looking_back_ends_where_the_run_began():
    store = MemoryStore()
    book = chain(store)
    book.append(made("old", "a"))
    book.append(made("r1", "train", kind="run"))
    store.delete(segment_key("trial", 1))
    assert book.append(made("r1", "a")) == 1


def test_long_lists_are_cut_into_segments():
    book = chain()
    entries = made("r1", *(str(number) for number in range(2 * SEGMENT_ENTRIES + 1)))
    assert book.append(entries) == len(entries)
    assert [one.header.count for one in book.segments()] == [SEGMENT_ENTRIES, SEGMENT_ENTRIES, 1]
    assert list(book.entries()) == entries


def test_writers_side_by_side_record_everything_once(tmp_path):
    entries = made("r1", *(str(number) for number in range(40)))

    def write(offset: int) -> None:
        book = chain(LocalStore(tmp_path))
        for at in range(0, 40, 4):
            book.append(entries[(offset + at) % 40 :][:6])

    threads = [threading.Thread(target=write, args=(offset,)) for offset in (0, 2, 13, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = list(chain(LocalStore(tmp_path)).entries())
    assert sorted(one.subject for one in found) == sorted(one.subject for one in entries)
    headers = [one.header for one in chain(LocalStore(tmp_path)).segments()]
    assert [one.previous for one in headers[1:]] == [one.digest for one in headers[:-1]]


class Altered(MemoryStore):
    def overwrite(self, key: str, data: bytes) -> None:
        self.delete(key)
        self.put(key, data)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_changed_byte_is_found(data):
    store = Altered()
    book = chain(store)
    book.append(made("r1", "a", "b"))
    whole = store.get(segment_key("trial", 1))
    at = data.draw(st.integers(0, len(whole) - 1))
    store.overwrite(segment_key("trial", 1), whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :])
    with pytest.raises(CodedError):
        segment = book.segment(1)
        segment.verify(KEYS.signing.public())
        segment.lines(KEYS.vault)


def test_a_segment_in_another_place_is_refused():
    store = Altered()
    book = chain(store)
    book.append(made("r1", "a"))
    book.append(made("r1", "b"))
    store.overwrite(segment_key("trial", 2), store.get(segment_key("trial", 1)))
    with pytest.raises(BadSegment):
        book.segment(2)
    store.delete(segment_key("trial", 1))
    with pytest.raises(BadSegment):
        list(book.entries())


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b'{"kind":"nonsense","run":"","subject":"","body":{},"at":""}', b"\xff"])
def test_lines_that_are_no_entries(line):
    with pytest.raises(BadEntry):
        Entry.read(line)


def test_what_is_stored_can_be_decoded_from_its_bytes():
    book = chain()
    book.append(made("r1", "a"))
    segment = book.segment(1)
    assert Segment.decode(segment.encode()) == segment


def test_one_block_a_height():
    blocks = Blocks(MemoryStore(), KEYS.vault, "trial")
    assert blocks.height() == 0 and blocks.last() is None
    document = {"block": {"height": 1, "run": "r1"}, "certificate": ["a"]}
    assert blocks.put(1, document) == document
    assert blocks.put(1, {**document, "certificate": ["b"]}) == document
    with pytest.raises(OtherBlock):
        blocks.put(1, {**document, "block": {"height": 1, "run": "r2"}})
    assert blocks.last() == document and list(blocks.all()) == [document]
