"""A peer with valid keys writes artifacts that no program of ours writes: each is refused in its name, before it costs anything."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.bounds import outcome
from tests.forging import forge, stream
from tests.storage.conftest import Wire
from tombolo.storage.errors import CodedError, shown
from tombolo.storage.meters import METRIC
from tombolo.storage.schema import Disclosed, Message, Paillier, ProtectedType, Public, assemble
from tombolo.storage.wire import pack_table

ONE = Message("one", "guest", "host", {"n": Public("int64", "-"), "x": Disclosed("float64", "-", "-", METRIC)}, learns="-")
MANY = Message("many", "guest", "host", {"c": Paillier("guest")}, learns="-", rows=None)
WORDS = Message("words", "guest", "host", {"word": Public("string", "-"), "data": Public("binary", "-")}, learns="-", rows=9)
EXPECTED = 1000
SCHEMA, ROWS, NUMBER, ENVELOPE, LARGE, TIME = (
    "TMB-SCHEMA-002",
    "TMB-SCHEMA-004",
    "TMB-SCHEMA-003",
    "TMB-ENV-001",
    "TMB-STORE-008",
    "TMB-EXCH-006",
)


@pytest.fixture
def wire() -> Wire:
    return Wire()


def bens(wire: Wire, message: Message) -> Any:
    return wire.exchange("ben").fetch(message, "ann", 0, EXPECTED)


def good(message: Message = ONE, **columns: Any) -> pa.Table:
    return assemble(message, columns or {"n": 1, "x": 1.0})


def ciphertexts(rows: int) -> pa.Table:
    values = pa.FixedSizeBinaryArray.from_buffers(pa.binary(512), rows, [None, pa.py_buffer(bytes(512 * rows))])
    return assemble(MANY, {"c": MANY.columns["c"].wrap(values)})


def bomb() -> bytes:
    """Four gigabytes of zeros in some hundred kilobytes."""
    batch = ciphertexts(1 << 17).to_batches()[0]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        for _ in range(64):
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def dictionary() -> bytes:
    return stream(pa.table({"n": pa.array([1], pa.int64()), "x": pa.array(["a"]).dictionary_encode()}))


def nested() -> bytes:
    deep: Any = [1]
    for _ in range(60):
        deep = [deep]
    return stream(pa.table({"n": pa.array([1]), "x": pa.array([deep])}))


def described() -> bytes:
    return stream(good().replace_schema_metadata({"a": "b" * 1000}))


def two_batches() -> bytes:
    table = ciphertexts(10)
    return stream(pa.concat_tables([table, table]))


def cast(column: str, kind: str) -> bytes:
    """A column that says it is something else."""
    table = good()
    array = table.column(column).combine_chunks()
    forged = pa.ExtensionArray.from_storage(ProtectedType(array.type.storage_type, kind, {}), array.storage)
    return stream(table.set_column(table.schema.names.index(column), column, forged))


PAYLOADS: dict[str, tuple[Message, Callable[[], bytes], int, str]] = {
    "a bomb that says its true rows": (MANY, bomb, 64 << 17, ROWS),
    "a bomb that says few rows": (MANY, bomb, 100, SCHEMA),
    "compressed": (MANY, lambda: stream(ciphertexts(10), compression="lz4"), 10, SCHEMA),
    "a dictionary": (ONE, dictionary, 1, SCHEMA),
    "nested": (ONE, nested, 1, SCHEMA),
    "metadata": (ONE, described, 1, SCHEMA),
    "two batches": (MANY, two_batches, 20, SCHEMA),
    "more rows than signed": (MANY, lambda: stream(ciphertexts(20)), 10, SCHEMA),
    "fewer rows than signed": (MANY, lambda: stream(ciphertexts(5)), 10, SCHEMA),
    "no Arrow": (ONE, lambda: bytes(100), 1, SCHEMA),
    "nothing": (ONE, lambda: b"", 1, SCHEMA),
    "another kind": (ONE, lambda: cast("n", "paillier"), 1, SCHEMA),
    "no row": (ONE, lambda: bytes(pack_table(good().slice(0, 0))), 0, ROWS),
    "two rows": (ONE, lambda: bytes(pack_table(pa.concat_tables([good(), good()]))), 2, ROWS),
    "negative": (ONE, lambda: bytes(pack_table(good(n=-1, x=1.0))), 1, NUMBER),
    "beyond 2^53": (ONE, lambda: bytes(pack_table(good(n=1 << 60, x=1.0))), 1, NUMBER),
    "not a number": (ONE, lambda: bytes(pack_table(good(n=1, x=np.nan))), 1, NUMBER),
    "infinite": (ONE, lambda: bytes(pack_table(good(n=1, x=-np.inf))), 1, NUMBER),
    "a long text": (WORDS, lambda: bytes(pack_table(good(WORDS, word="x" * 5000, data=b""))), 1, SCHEMA),
    "long bytes": (WORDS, lambda: bytes(pack_table(good(WORDS, word="x", data=bytes(1 << 17)))), 1, SCHEMA),
    "bytes after the table": (ONE, lambda: bytes(pack_table(good())) + bytes(1 << 16), 1, SCHEMA),
    "a huge object": (ONE, lambda: bytes(90 << 20), 1, LARGE),
}


@pytest.mark.parametrize("name", PAYLOADS)
def test_payloads(wire, name):
    message, payload, rows, code = PAYLOADS[name]
    forge(wire, message, payload(), rows)
    assert outcome(lambda: bens(wire, message)) == f"{code} ann"


def in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


HEADERS: dict[str, tuple[dict[str, Any], str]] = {
    "a time that is a number": ({"created": 5}, ENVELOPE),
    "a time that is no time": ({"created": "yesterday"}, ENVELOPE),
    "the first year": ({"created": "0001-01-01T00:00:00+23:59"}, ENVELOPE),
    "the last year": ({"created": "9999-12-31T23:59:59-23:59"}, ENVELOPE),
    "a long time": ({"created": f"2026-01-01T00:00:00.{'0' * 1000}"}, ENVELOPE),
    "tomorrow": ({"created": in_days(1)}, TIME),
    "other kinds": ({"schema": [["n", "paillier"], ["x", "disclosed"]]}, SCHEMA),
    "one column more": ({"schema": [["n", "public"], ["x", "disclosed"], ["<script>", "public"]]}, SCHEMA),
    "many columns": ({"schema": [["n", "public"]] * 10_000}, ENVELOPE),
    "a schema that is none": ({"schema": 7}, ENVELOPE),
    "many rows": ({"rows": 1 << 50}, ENVELOPE),
    "negative rows": ({"rows": -1}, ENVELOPE),
    "rows that are a truth": ({"rows": True}, ENVELOPE),
    "rows that are a text": ({"rows": "1"}, ENVELOPE),
    "no chunk": ({"chunks": []}, ENVELOPE),
    "chunks that add up to more": ({"chunks": [["ab" * 32, 5]]}, ENVELOPE),
    "chunks without rows": ({"chunks": [["ab" * 32, 1], ["ab" * 32, 0]]}, ENVELOPE),
    "chunks without hash": ({"chunks": [["ab", 1]]}, ENVELOPE),
    "many chunks": ({"chunks": [["ab" * 32, 0]] * 50_000}, ENVELOPE),
    "another binding": ({"binding": "cd" * 32}, "TMB-ENV-004"),
    "a binding that is none": ({"binding": "\x1b[2J"}, ENVELOPE),
    "another run": ({"run": "r2"}, "TMB-ENV-002"),
    "a name of a megabyte": ({"message": "x" * (1 << 20)}, ENVELOPE),
    "a field more": ({"more": {}}, ENVELOPE),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers(wire, name):
    fields, code = HEADERS[name]
    forge(wire, ONE, bytes(pack_table(good())), 1, **fields)
    assert outcome(lambda: bens(wire, ONE)) == f"{code} ann"


def test_books_stay_readable_whatever_was_refused(wire):
    for number, (fields, _) in enumerate(HEADERS.values()):
        message = replace(ONE, step=str(number))
        forge(wire, message, bytes(pack_table(good())), 1, **fields)
        with contextlib.suppress(CodedError):
            bens(wire, message)
    assert wire.exchange("ben").books.entries("received") == []


def test_what_came_too_late_is_bounded_too(wire):
    forge(wire, ONE, b"", 1, created=5)
    assert outcome(lambda: wire.exchange("ben").book_unread("ann")) == f"{ENVELOPE} ann"


def test_text_of_a_peer_is_cleaned_and_cut():
    text = shown("a\n[2026-01-01] INFO approved\x1b[2K\u202e\r\tb\u202fc" + "x" * 5000)
    assert text.isprintable() or "\u202f" in text
    assert "\n" not in text and "\x1b" not in text and "\u202e" not in text and len(text) < 2010
