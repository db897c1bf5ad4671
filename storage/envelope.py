"""The artifact envelope: a canonical header, signed by the sender, and a payload, sealed to the recipient.

Wire form of the head object (version 1)::

    "TMB" 0x01 | u32 header length | header (RFC 8785) | u32 signature length | signature | sealed payload (if one chunk)

The signature covers the header. The header lists the SHA-256 of every sealed chunk. Each chunk is sealed with the address part of
the header as HPKE context. So no part of an artifact can be used in another artifact, run or position, or for another recipient.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import asdict, dataclass
from typing import Any

from tombolo.storage.canonical import NotCanonical, canonical, parse
from tombolo.storage.errors import CodedError
from tombolo.storage.identity import SigningKey, VerifyKey
from tombolo.storage.moments import MOST_CHARACTERS, moment
from tombolo.storage.stores.base import MAX_SEGMENT_BYTES

MAGIC = b"TMB\x01"
DOMAIN = "artifact"
PROTOCOL_VERSION = 1
LARGEST_HEADER = 1 << 22
MOST_CHUNKS, MOST_ROWS = 40_000, 1 << 40
_MOST_COLUMNS, _MOST_ROUNDS = 100, 999_999
_PLACE = ("recipient", "agreement", "run", "step", "message")
_FIELDS = {*_PLACE, "round", "version", "sender", "binding", "schema", "rows", "created", "chunks"}
_SHA256 = re.compile(r"[0-9a-f]{64}")


class MalformedEnvelope(CodedError):
    code = "TMB-ENV-001"
    cause = "An artifact's envelope is truncated, oversized or not canonical."
    remedy = "Ask the sender to check its store for damage, then start a new run. The artifact stays in place for the audit."


class MisaddressedArtifact(CodedError):
    code = "TMB-ENV-002"
    cause = "An artifact lies at another address or in another run than its signed header states."
    remedy = "It was copied and is not used. Ask the sender to check its store. The artifact stays in place for the audit."


class AlteredPayload(CodedError):
    code = "TMB-ENV-003"
    cause = "An artifact's sealed bytes do not have the hash that its signed header states."
    remedy = "Its bytes were changed. Ask the sender to check its store, then start a new run. The artifact stays for the audit."


class ForeignBinding(CodedError):
    code = "TMB-ENV-004"
    cause = "An artifact was made under another version of the agreement, or another manifest, than this party has."
    remedy = "Compare `tombolo agreement check` at both parties; both need the same terms and amendments. Then start a new run."


@dataclass(frozen=True)
class Address:
    """The place of an artifact in its sender's store."""

    recipient: str
    agreement: str
    run: str
    round: int
    step: str
    message: str

    def prefix(self) -> str:
        """``to-<recipient>/<agreement>/<run>/<round>/<step>/<message>``."""
        return f"to-{self.recipient}/{self.agreement}/{self.run}/{self.round:06d}/{self.step}/{self.message}"

    def head(self) -> str:
        """The key of the head object."""
        return f"{self.prefix()}/head"

    def chunk(self, index: int) -> str:
        """The key of a chunk object; chunks are numbered from 1."""
        return f"{self.prefix()}/{index:06d}"


@dataclass(frozen=True)
class Header:
    """What the sender signs. ``binding`` is a digest: of the agreement until all have joined, then of the run's manifest."""

    address: Address
    sender: str
    binding: str
    schema: tuple[tuple[str, str], ...]
    rows: int
    created: str
    chunks: tuple[tuple[str, int], ...]  # (SHA-256 of the sealed bytes, rows)

    def document(self) -> dict[str, Any]:
        """The header as the JSON document that is signed."""
        return {
            "version": PROTOCOL_VERSION,
            **asdict(self.address),
            "sender": self.sender,
            "binding": self.binding,
            "schema": [list(column) for column in self.schema],
            "rows": self.rows,
            "created": self.created,
            "chunks": [list(chunk) for chunk in self.chunks],
        }

    def digest(self) -> str:
        """SHA-256 of the canonical header."""
        return hashlib.sha256(canonical(self.document())).hexdigest()


def seal_context(address: Address, sender: str, binding: str, schema: tuple[tuple[str, str], ...], chunk: int) -> bytes:
    """HPKE ``info`` of one chunk: the fields of the header that stay the same if the artifact is sent again."""
    columns = [list(column) for column in schema]
    document = {"version": PROTOCOL_VERSION, **asdict(address), "sender": sender, "binding": binding, "schema": columns}
    return canonical({**document, "chunk": chunk})


def write_head(header: Header, signing: SigningKey, inline: bytes) -> bytes:
    """The head object: header, signature, and the sealed payload if it has a single chunk."""
    body = canonical(header.document())
    signature = signing.sign(DOMAIN, body)
    return b"".join((MAGIC, struct.pack(">I", len(body)), body, struct.pack(">I", len(signature)), signature, inline))


def read_head(data: bytes, verify: VerifyKey) -> tuple[Header, bytes]:
    """Verify and parse a head object; returns the header and the inline sealed payload.

    Raises MalformedEnvelope or SignatureRefused. The header is parsed only after its signature is verified.
    """
    if data[:4] != MAGIC:
        raise MalformedEnvelope("Unknown format or version.")
    try:
        (length,) = struct.unpack_from(">I", data, 4)
        body = data[8 : 8 + length]
        (signed,) = struct.unpack_from(">I", data, 8 + length)
    except struct.error:
        raise MalformedEnvelope("Truncated.") from None
    start = 12 + length
    signature, inline = data[start : start + signed], data[start + signed :]
    if len(body) != length or len(signature) != signed:
        raise MalformedEnvelope("Truncated.")
    verify.verify(signature, DOMAIN, body)
    try:
        return _header(parse(body, limit=LARGEST_HEADER)), inline
    except (NotCanonical, KeyError, TypeError, ValueError):
        raise MalformedEnvelope("The header is not canonical, or a field is missing or wrong.") from None


def _header(document: dict[str, Any]) -> Header:
    """The fields of a header, each with its type, range and length. Raises KeyError, TypeError or ValueError."""
    if document["version"] != PROTOCOL_VERSION:
        raise MalformedEnvelope("Unknown protocol version.")
    if set(document) != _FIELDS:
        raise ValueError("unknown fields")
    place = {name: _text(document[name], MAX_SEGMENT_BYTES) for name in _PLACE}
    address = Address(round=_count(document["round"], _MOST_ROUNDS), **place)
    created = _text(document["created"], MOST_CHARACTERS)
    moment(created)
    schema, chunks = _list(document["schema"], _MOST_COLUMNS), _list(document["chunks"], MOST_CHUNKS)
    return Header(
        address=address,
        sender=_text(document["sender"], MAX_SEGMENT_BYTES),
        binding=_digest(document["binding"]),
        schema=tuple((_text(name, MAX_SEGMENT_BYTES), _text(kind, MAX_SEGMENT_BYTES)) for name, kind in schema),
        rows=_count(document["rows"]),
        created=created,
        chunks=tuple((_digest(sha256), _count(rows)) for sha256, rows in chunks),
    )


def _text(value: Any, most: int) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise ValueError("not a text, or too long")
    return value


def _digest(value: Any) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ValueError("not a SHA-256")
    return value


def _count(value: Any, most: int = MOST_ROWS) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError("not a number in its range")
    return value


def _list(value: Any, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError("not a list, or too long")
    return value
