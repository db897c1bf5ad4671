"""What a peer with valid keys can write that no program of ours writes: artifacts with any payload and any signed header."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from tests.storage.conftest import KEYS, Wire
from tombolo.storage.canonical import canonical
from tombolo.storage.envelope import DOMAIN, MAGIC, Header, seal_context
from tombolo.storage.exchange import Exchange
from tombolo.storage.schema import Message


def forge(wire: Wire, message: Message, payload: bytes, rows: int, /, **fields: Any) -> None:
    """Ann writes an artifact to Ben with a good signature and a good seal, and any payload and header."""
    sender: Exchange = wire.exchange("ann")
    address = sender.address(message.name, "ben", 0, message.step)
    sealed = KEYS["ben"].sealing.public().seal(payload, seal_context(address, "ann", sender.binding, message.schema, 1))
    chunk = (hashlib.sha256(sealed).hexdigest(), rows)
    now = datetime.now(UTC).isoformat()
    document = {**Header(address, "ann", sender.binding, message.schema, rows, now, (chunk,)).document(), **fields}
    body = canonical(document)
    signature = KEYS["ann"].signing.sign(DOMAIN, body)
    parts = (MAGIC, len(body).to_bytes(4, "big"), body, len(signature).to_bytes(4, "big"), signature, sealed)
    wire.stores["ann"].put(address.head(), b"".join(parts))


def stream(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()
