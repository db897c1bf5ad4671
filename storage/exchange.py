"""Sends and receives artifacts through one store per party. Sending: seal, sign, write once. Receiving: verify, open, book."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tombolo.storage.books import Books, Entry
from tombolo.storage.envelope import (
    LARGEST_HEADER,
    Address,
    AlteredPayload,
    ForeignBinding,
    Header,
    MalformedEnvelope,
    MisaddressedArtifact,
    read_head,
    seal_context,
    write_head,
)
from tombolo.storage.errors import CodedError, blame
from tombolo.storage.identity import SealKey, SigningKey, UnsealKey, VerifyKey
from tombolo.storage.moments import CLOCKS_APART, moment, require_past
from tombolo.storage.schema import ForeignSchema, Message, admit_rows, assemble
from tombolo.storage.stores.base import KeyTaken, Readable, Store, TooLarge, holds
from tombolo.storage.wire import pack_table, unpack_table

log = logging.getLogger("tombolo")
CHUNK_BYTES = 64 << 20
LARGEST_OBJECT = CHUNK_BYTES + (16 << 20)
"""The most bytes of any object that an exchange writes."""
_LARGEST_SIGNATURE = 1 << 14
_MOST_UNREAD, _MOST_UNREAD_CHUNKS, _MOST_UNREAD_BYTES = 100_000, 10_000, 1 << 32
"""The most keys, chunks and bytes of heads of what came too late from one peer in a run."""
_AROUND_CHUNK = 1 << 14
"""Bytes of a sealed chunk besides its values: those of the Arrow stream and of the seal."""


@dataclass(frozen=True)
class Peer:
    """Another party: its pinned verification key, its sealing key, and its store."""

    name: str
    verify: VerifyKey
    seal: SealKey
    store: Readable


@dataclass(frozen=True)
class Self:
    """This party: its private keys and its store, to which only it writes."""

    name: str
    signing: SigningKey
    unseal: UnsealKey
    store: Store


@dataclass(frozen=True)
class Receipt:
    """A verified and opened artifact: its table and the SHA-256 of its head object."""

    table: pa.Table
    sha256: str


class Exchange:
    """Artifacts between this party and its peers under one binding (the digest of the agreement, or of a run's manifest).

    Sending never overwrites. If an artifact is already stored at the address, it is *adopted*: it counts as sent, because a new
    encryption of the same values has other bytes. Receiving verifies signature, address, binding, hashes and schema before a value
    is used; a failure raises a coded error and leaves the artifact in place. No more bytes are read than the message can have.
    ``clocks`` are the seconds that the parties' clocks may differ.
    """

    def __init__(
        self,
        me: Self,
        peers: Mapping[str, Peer],
        agreement: str,
        run: str,
        binding: str,
        books: Books,
        clocks: float = CLOCKS_APART,
    ) -> None:
        self.me, self.peers, self.agreement, self.run, self.binding, self.books = me, peers, agreement, run, binding, books
        self.clocks = clocks
        self.chunk_bytes = CHUNK_BYTES

    def address(self, message: str, recipient: str, round: int, step: str) -> Address:
        """The address of a message in this exchange's run."""
        return Address(recipient, self.agreement, self.run, round, step, message)

    def send(self, message: Message, recipient: str, round: int, columns: Mapping[str, Any]) -> int:
        """Send one artifact; returns its bytes on the wire. Raises UndeclaredColumn, and then writes nothing."""
        table = assemble(message, columns)
        address = self.address(message.name, recipient, round, message.step)
        schema = message.schema
        store, size, chunks, inline = self.me.store, 0, [], b""
        slices = self._slices(table)
        for index, part in enumerate(slices, start=1):
            info = seal_context(address, self.me.name, self.binding, schema, index)
            sealed = self.peers[recipient].seal.seal(pack_table(part), info)
            if len(slices) == 1:
                inline = sealed
            else:
                sealed = _put_or_adopt(store, address.chunk(index), sealed)
                size += len(sealed)
            chunks.append((hashlib.sha256(sealed).hexdigest(), part.num_rows))
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        header = Header(address, self.me.name, self.binding, schema, table.num_rows, now, tuple(chunks))
        head = _put_or_adopt(store, address.head(), write_head(header, self.me.signing, inline))
        size += len(head)
        sha256 = hashlib.sha256(head).hexdigest()
        self.books.book_sent(self._entry(recipient, address, sha256, size, table.num_rows, schema, now))
        return size

    def fetch(self, message: Message, sender: str, round: int, rows: int | None = None) -> Receipt | None:
        """Receive one artifact of at most ``rows`` rows; None if it is not there yet. Raises a coded error if anything is wrong."""
        with blame(sender):
            read = self._read(message, sender, round, rows)
        if read is None:
            return None
        receipt, entry = read
        self.books.book_received(entry)
        return receipt

    def _read(self, message: Message, sender: str, round: int, rows: int | None) -> tuple[Receipt, Entry] | None:
        peer, most = self.peers[sender], message.most_rows(rows)
        address = self.address(message.name, self.me.name, round, message.step)
        if not holds(peer.store, address.head()):
            return None
        around = LARGEST_HEADER + _LARGEST_SIGNATURE
        head = peer.store.get(address.head(), around + min(LARGEST_OBJECT, message.most_bytes(most)))
        header, inline = read_head(head, peer.verify)
        self._check(header, address, sender)
        self._check_contents(header, message, rows)
        tables, size = [], len(head)
        left = message.most_bytes(header.rows) + len(header.chunks) * _AROUND_CHUNK
        for index, (sha256, count) in enumerate(header.chunks, start=1):
            largest = min(LARGEST_OBJECT, message.most_bytes(count), left)
            sealed = inline if len(header.chunks) == 1 else peer.store.get(address.chunk(index), largest)
            left -= len(sealed)
            size += 0 if len(header.chunks) == 1 else len(sealed)
            if len(sealed) > largest:
                raise TooLarge(f"{address.prefix()} has {len(sealed)} bytes; its rows can have {largest}.")
            if hashlib.sha256(sealed).hexdigest() != sha256:
                raise AlteredPayload(f"Chunk {index} of {address.prefix()}.")
            info = seal_context(address, sender, self.binding, header.schema, index)
            tables.append(unpack_table(message, self.me.unseal.open(sealed, info), count))
        table = pa.concat_tables(tables) if len(tables) > 1 else tables[0]
        whole = hashlib.sha256(head).hexdigest()
        return Receipt(table, whole), self._entry(sender, address, whole, size, header.rows, header.schema, header.created)

    def book_unread(self, sender: str) -> int:
        """Book the artifacts that a peer sent under this binding and that were not read, because they came too late for their step.

        They are not opened. Returns the number of these artifacts. Raises a coded error if an envelope is wrong.
        """
        with blame(sender):
            return self._book_unread(sender)

    def _book_unread(self, sender: str) -> int:
        peer, prefix = self.peers[sender], f"to-{self.me.name}/{self.agreement}/{self.run}/"
        read = {entry.address for entry in self.books.entries("received") if entry.peer == sender}
        stored = peer.store.list(prefix, _MOST_UNREAD)
        unread = [key for key in stored if key.endswith("/head") and key.removesuffix("/head") not in read]
        count, looks, left = 0, 0, _MOST_UNREAD_BYTES
        for key in unread:
            head = peer.store.get(key, min(left, LARGEST_HEADER + _LARGEST_SIGNATURE + LARGEST_OBJECT))
            left -= len(head)
            header, _ = read_head(head, peer.verify)
            if header.binding != self.binding:  # sent before all had joined the run
                continue
            address, chunks = header.address, len(header.chunks)
            if address.head() != key:
                raise MisaddressedArtifact(f"Found at {key}.", party=sender)
            self._check(header, address, sender)
            separate = range(1, chunks + 1) if chunks > 1 else ()  # a single chunk is in the head
            looks += len(separate)
            if looks > _MOST_UNREAD_CHUNKS:
                raise TooLarge(f"More than {_MOST_UNREAD_CHUNKS} parts came too late.")
            sizes = [peer.store.stat(address.chunk(index)).size for index in separate]
            if not all(0 <= one <= LARGEST_OBJECT for one in sizes):
                raise TooLarge(f"A part of {address.prefix()} has an impossible size.")
            size = len(head) + sum(sizes)
            sha256 = hashlib.sha256(head).hexdigest()
            self.books.book_received(self._entry(sender, address, sha256, size, header.rows, header.schema, header.created))
            count += 1
        return count

    def present(self, message: Message, sender: str, round: int) -> bool:
        """Whether a peer has written an artifact. It is not read or verified. A store that cannot be read has nothing."""
        key = self.address(message.name, self.me.name, round, message.step).head()
        try:
            return holds(self.peers[sender].store, key)
        except CodedError as error:
            log.warning("%s", error.at(sender))
            return False

    def _check(self, header: Header, address: Address, sender: str) -> None:
        if header.address != address or header.sender != sender:
            raise MisaddressedArtifact(f"Found at {address.prefix()}.", party=sender)
        if header.binding != self.binding:
            theirs, ours = header.binding[:16], self.binding[:16]
            raise ForeignBinding(f"Digest {theirs}... at {sender}, {ours}... at {self.me.name}.", party=sender)
        require_past(moment(header.created), self.clocks, "An artifact was written", sender)

    @staticmethod
    def _check_contents(header: Header, message: Message, rows: int | None) -> None:
        """Compare what the header says about the table with the message, before a byte of the table is read."""
        admit_rows(message, header.rows, rows)
        if header.schema != message.schema:
            raise ForeignSchema(f"Message {message.name}: the signed header names other columns.")
        counts = [count for _, count in header.chunks]
        if sum(counts) != header.rows or not counts or (len(counts) > 1 and not all(counts)):
            raise MalformedEnvelope("The chunks do not add up to the rows of the artifact.")

    def _slices(self, table: pa.Table) -> list[pa.Table]:
        """The table in parts of about ``chunk_bytes`` each, whatever the sizes of single rows are."""
        if not table.num_rows:
            return [table]
        ends, parts, start = np.cumsum(_bytes_of_rows(table)), [], 0
        while start < table.num_rows:
            before = ends[start - 1] if start else 0
            end = max(start + 1, int(np.searchsorted(ends, before + self.chunk_bytes, side="right")))
            parts.append(table.slice(start, end - start))
            start = end
        return parts

    def _entry(
        self, peer: str, address: Address, sha256: str, size: int, rows: int, schema: tuple[tuple[str, str], ...], at: str
    ) -> Entry:
        return Entry(peer, address.prefix(), address.message, sha256, size, rows, tuple(k for _, k in schema), at)


def _bytes_of_rows(table: pa.Table) -> npt.NDArray[np.int64]:
    """How many bytes each row has, shape (rows,)."""
    sizes = np.full(table.num_rows, 0, dtype=np.int64)
    for column in table.columns:
        chunks = [chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk for chunk in column.chunks]
        plain = pa.chunked_array(chunks)
        if pa.types.is_binary(plain.type) or pa.types.is_string(plain.type):
            sizes += pc.binary_length(plain).to_numpy() + 4
        else:
            sizes += max(1, plain.type.bit_width // 8)
    return sizes


def _put_or_adopt(store: Store, key: str, data: bytes) -> bytes:
    """Write the object, or adopt it if the key exists; returns the bytes that are stored."""
    try:
        store.put(key, data)
    except KeyTaken:
        return store.get(key)
    return data
