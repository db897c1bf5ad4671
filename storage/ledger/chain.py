"""A party's hash-chained record of one agreement: numbered, signed, create-only segments of entries.

Segment ``n`` lies at ``ledger/<agreement>/segments/<n>``. Its header names the hash of the header before it, the Merkle root over
its entries' lines and the hash of its sealed body, and is signed with the party's identity keys; the lines are sealed to the
party's vault. Writers race for the next number: who loses reads what was written and goes on behind it, so old processes and
retries may append beside each other and nothing is recorded twice.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from tombolo.storage.canonical import NotCanonical, canonical, parse
from tombolo.storage.errors import CodedError
from tombolo.storage.identity import PartyKeys, Vault, VerifyKey
from tombolo.storage.ledger import merkle
from tombolo.storage.ledger.entries import Entry
from tombolo.storage.stores.base import KeyMissing, KeyTaken, Store

DOMAIN = "ledger-segment"
SEGMENT_ENTRIES = 1000
FIRST_PREVIOUS = "0" * 64
_MAGIC = b"TML1"


class BadSegment(CodedError):
    code = "TMB-LEDGER-003"
    cause = "A segment of the record is not what its party signed."
    remedy = "The store's object was altered or is not whole; restore it from a backup, `tombolo audit verify` names the rest."


@dataclass(frozen=True)
class Header:
    """What is signed of a segment: its place in the chain, and hashes of everything in it."""

    party: str
    agreement: str
    index: int
    previous: str
    count: int
    root: str
    body: str
    at: str

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical header: what the next segment names."""
        return hashlib.sha256(canonical(asdict(self))).hexdigest()


@dataclass(frozen=True)
class Segment:
    """A segment as it is stored: header, signature, and the sealed lines."""

    header: Header
    signature: bytes
    sealed: bytes

    def encode(self) -> bytes:
        """The segment's bytes as they are stored."""
        head = canonical(asdict(self.header))
        return b"".join((_MAGIC, struct.pack(">II", len(head), len(self.signature)), head, self.signature, self.sealed))

    @classmethod
    def decode(cls, data: bytes) -> Segment:
        """Parse a stored segment and check its form and body hash, but no signature; raises :class:`BadSegment`."""
        try:
            if data[:4] != _MAGIC:
                raise BadSegment("Unknown format or version.")
            head_size, signature_size = struct.unpack_from(">II", data, 4)
            head, rest = data[12 : 12 + head_size], data[12 + head_size :]
            header = Header(**parse(head))
        except (struct.error, NotCanonical, TypeError):
            raise BadSegment("Its header cannot be read.") from None
        if not isinstance(header.index, int) or not isinstance(header.count, int):
            raise BadSegment("A number in its header is not one.")
        segment = cls(header, rest[:signature_size], rest[signature_size:])
        if hashlib.sha256(segment.sealed).hexdigest() != header.body:
            raise BadSegment("Its body is not the one that was signed.")
        return segment

    def verify(self, key: VerifyKey) -> None:
        """Raise SignatureRefused unless the header is signed with ``key``."""
        key.verify(self.signature, DOMAIN, canonical(asdict(self.header)))

    def lines(self, vault: Vault) -> list[bytes]:
        """The entries' lines, opened and compared with the signed root; raises SealRefused or :class:`BadSegment`."""
        opened = vault.open(self.sealed, segment_key(self.header.agreement, self.header.index))
        lines = opened.split(b"\n")
        if len(lines) != self.header.count or merkle.root([merkle.leaf(line) for line in lines]).hex() != self.header.root:
            raise BadSegment("Its entries are not those that were signed.")
        return lines


def segment_key(agreement: str, index: int) -> str:
    """Object key of a segment; numbers begin at 1."""
    return f"ledger/{agreement}/segments/{index:09d}"


class Chain:
    """One party's record of one agreement."""

    def __init__(self, store: Store, keys: PartyKeys, agreement: str) -> None:
        self._store, self._keys, self.agreement = store, keys, agreement

    def append(self, entries: Iterable[Entry]) -> int:
        """Record the entries of one run that are not recorded yet; returns how many were new.

        An entry that the run has recorded under the same name stays as it was recorded first.
        """
        given = list(entries)
        if len({entry.run for entry in given}) > 1:
            raise ValueError("entries of one run at a time")
        written = 0
        while given:
            last = self.length()
            known = self.names(given[0].run, last)
            given = list({entry.name: entry for entry in reversed(given) if entry.name not in known}.values())[::-1]
            part, rest = given[:SEGMENT_ENTRIES], given[SEGMENT_ENTRIES:]
            if part and self._put(last, part):
                written, given = written + len(part), rest
        return written

    def length(self) -> int:
        """The number of the last segment, 0 where there is none."""
        keys = self._store.list(f"ledger/{self.agreement}/segments/")
        return int(keys[-1].rsplit("/", 1)[1]) if keys else 0

    def segment(self, index: int) -> Segment:
        """One segment in its place, its signature not checked; raises :class:`BadSegment`."""
        try:
            segment = Segment.decode(self._store.get(segment_key(self.agreement, index)))
        except KeyMissing:
            raise BadSegment(f"Segment {index} is missing.") from None
        if (segment.header.agreement, segment.header.index) != (self.agreement, index):
            raise BadSegment(f"Segment {index} holds another one.")
        return segment

    def head(self) -> Header | None:
        """The last segment's header; None while nothing is recorded."""
        last = self.length()
        return self.segment(last).header if last else None

    def segments(self) -> Iterator[Segment]:
        """All segments, first to last."""
        for index in range(1, self.length() + 1):
            yield self.segment(index)

    def entries(self, run: str | None = None) -> Iterator[Entry]:
        """All entries in the order of recording, or those of one run; raises :class:`BadSegment` at an altered one."""
        for segment in self.segments():
            for line in segment.lines(self._keys.vault):
                entry = Entry.read(line)
                if run is None or entry.run == run:
                    yield entry

    def names(self, run: str, last: int | None = None) -> set[str]:
        """Names of the run's entries, read backwards from segment ``last`` to that with which the run began (kind ``run``)."""
        names: set[str] = set()
        for index in range(self.length() if last is None else last, 0, -1):
            found = {entry.name for entry in map(Entry.read, self.segment(index).lines(self._keys.vault)) if entry.run == run}
            names |= found
            if any(name.startswith("run:") for name in found):
                break
        return names

    def _put(self, last: int, part: list[Entry]) -> bool:
        """Write the next segment; False where somebody else wrote it first."""
        index, lines = last + 1, [entry.line() for entry in part]
        key = segment_key(self.agreement, index)
        sealed = self._keys.vault.seal(b"\n".join(lines), key)
        header = Header(
            party=self._keys.party,
            agreement=self.agreement,
            index=index,
            previous=self.segment(last).header.digest if last else FIRST_PREVIOUS,
            count=len(lines),
            root=merkle.root([merkle.leaf(line) for line in lines]).hex(),
            body=hashlib.sha256(sealed).hexdigest(),
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        signature = self._keys.signing.sign(DOMAIN, canonical(asdict(header)))
        try:
            self._store.put(key, Segment(header, signature, sealed).encode(), permanent=True)
        except KeyTaken:
            return False
        return True
