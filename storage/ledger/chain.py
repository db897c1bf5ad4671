"""A party's record of one agreement: numbered and signed segments of entries, chained by hashes and never changed.

Segment ``n`` lies at ``ledger/<agreement>/segments/<n>``. Its header has the hash of the header before it, the Merkle root of its
entries' lines and the hash of its sealed body. The header is signed with the party's signing key; the lines are sealed with the
party's vault. If two processes write the same number, the slower one reads what was written and takes the next number. So old
processes and retries may write at the same time, and nothing is recorded twice.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence
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
    cause = "A segment of the record is missing, or differs from what its party signed."
    remedy = "Restore the object from a backup of the store. `tombolo audit verify` names all objects that are wrong."


@dataclass(frozen=True)
class Header:
    """The signed part of a segment: its place in the chain, and the hashes of its content."""

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
        """SHA-256 of the canonical header; it is ``previous`` of the next segment."""
        return hashlib.sha256(canonical(asdict(self))).hexdigest()


@dataclass(frozen=True)
class Segment:
    """A segment as it is stored: header, signature, and the sealed lines."""

    header: Header
    signature: bytes
    sealed: bytes

    def encode(self) -> bytes:
        """The segment as the bytes that are stored."""
        head = canonical(asdict(self.header))
        return b"".join((_MAGIC, struct.pack(">II", len(head), len(self.signature)), head, self.signature, self.sealed))

    @classmethod
    def decode(cls, data: bytes) -> Segment:
        """Parse a stored segment; checks its form and the hash of its body, not its signature. Raises :class:`BadSegment`."""
        try:
            if data[:4] != _MAGIC:
                raise BadSegment("Unknown format or version.")
            head_size, signature_size = struct.unpack_from(">II", data, 4)
            head, rest = data[12 : 12 + head_size], data[12 + head_size :]
            header = Header(**parse(head))
        except (struct.error, NotCanonical, TypeError):
            raise BadSegment("Its header cannot be read.") from None
        if not isinstance(header.index, int) or not isinstance(header.count, int):
            raise BadSegment("A field of its header must be a number and is not.")
        segment = cls(header, rest[:signature_size], rest[signature_size:])
        if hashlib.sha256(segment.sealed).hexdigest() != header.body:
            raise BadSegment("Its body differs from the signed hash.")
        return segment

    def verify(self, key: VerifyKey) -> None:
        """Raise SignatureRefused unless the header is signed with ``key``."""
        key.verify(self.signature, DOMAIN, canonical(asdict(self.header)))

    def lines(self, vault: Vault) -> list[bytes]:
        """The lines of the entries, opened and compared with the signed root. Raises SealRefused or :class:`BadSegment`."""
        opened = vault.open(self.sealed, segment_key(self.header.agreement, self.header.index))
        lines = opened.split(b"\n")
        if len(lines) != self.header.count or merkle.root([merkle.leaf(line) for line in lines]).hex() != self.header.root:
            raise BadSegment("Its entries differ from the signed root.")
        return lines


def segment_key(agreement: str, index: int) -> str:
    """The object key of a segment; numbers begin at 1."""
    return f"ledger/{agreement}/segments/{index:09d}"


class Chain:
    """One party's record of one agreement."""

    def __init__(self, store: Store, keys: PartyKeys, agreement: str) -> None:
        self._store, self._keys, self.agreement = store, keys, agreement

    def append(self, entries: Iterable[Entry]) -> int:
        """Record the entries of one run that are not recorded yet; returns how many are new.

        If the run already has an entry of the same name, the first entry stays.
        """
        given = list(entries)
        if len({entry.run for entry in given}) > 1:
            raise ValueError("append needs the entries of one run only")
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
        """The number of the last segment; 0 if there is none."""
        keys = self._store.list(f"ledger/{self.agreement}/segments/")
        return int(keys[-1].rsplit("/", 1)[1]) if keys else 0

    def segment(self, index: int) -> Segment:
        """One segment; checks its place in the record, not its signature. Raises :class:`BadSegment`."""
        segment = self._find(index)
        if segment is None:
            raise BadSegment(f"Segment {index} is missing.")
        return segment

    def _find(self, index: int) -> Segment | None:
        try:
            segment = Segment.decode(self._store.get(segment_key(self.agreement, index)))
        except KeyMissing:
            return None
        if (segment.header.agreement, segment.header.index) != (self.agreement, index):
            raise BadSegment(f"The object of segment {index} is another segment.")
        return segment

    def head(self) -> Header | None:
        """The header of the last segment; None if nothing is recorded."""
        last = self.length()
        return self.segment(last).header if last else None

    def segments(self) -> Iterator[Segment]:
        """All segments, from first to last."""
        for index in range(1, self.length() + 1):
            yield self.segment(index)

    def entries(self, run: str | None = None) -> Iterator[Entry]:
        """All entries, or those of one run, in recorded order. Raises :class:`BadSegment` if a segment was changed."""
        for segment in self.segments():
            for line in segment.lines(self._keys.vault):
                entry = Entry.read(line)
                if run is None or entry.run == run:
                    yield entry

    def names(self, run: str, last: int | None = None) -> set[str]:
        """The names of a run's entries. Reads backwards from segment ``last`` to the segment in which the run began."""
        names: set[str] = set()
        for index in range(self.length() if last is None else last, 0, -1):
            entries = map(Entry.read, self.segment(index).lines(self._keys.vault))
            in_segment = {entry.name for entry in entries if entry.run == run}
            names |= in_segment
            if any(name.startswith("run:") for name in in_segment):
                break
        return names

    def after(self, index: int) -> Iterator[Segment]:
        """The segments after number ``index``, as far as they follow each other; looks each up by its number, without a listing."""
        while True:
            index += 1
            segment = self._find(index)
            if segment is None:
                return
            yield segment

    def add(self, index: int, entries: Sequence[Entry], previous: str = "") -> Header | None:
        """Write segment ``index`` with these entries, all or nothing; returns None if another process wrote that number first.

        ``previous`` is the digest of the header before, if the caller knows it. What is recorded already is recorded again.
        """
        lines = [entry.line() for entry in entries]
        key = segment_key(self.agreement, index)
        sealed = self._keys.vault.seal(b"\n".join(lines), key)
        if not previous:
            previous = self.segment(index - 1).header.digest if index > 1 else FIRST_PREVIOUS
        header = Header(
            party=self._keys.party,
            agreement=self.agreement,
            index=index,
            previous=previous,
            count=len(lines),
            root=merkle.root([merkle.leaf(line) for line in lines]).hex(),
            body=hashlib.sha256(sealed).hexdigest(),
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        signature = self._keys.signing.sign(DOMAIN, canonical(asdict(header)))
        try:
            self._store.put(key, Segment(header, signature, sealed).encode(), permanent=True)
        except KeyTaken:
            return None
        return header

    def _put(self, last: int, part: list[Entry]) -> bool:
        """Write the next segment; False if another process wrote it first."""
        return self.add(last + 1, part) is not None
