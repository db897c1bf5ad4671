"""The chain that an odometer writes to: signed segments, each read once. A rebuild begins a new chain beside the old."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence

from tombolo.storage.errors import CodedError
from tombolo.storage.identity import BadKeyMaterial, PartyKeys, SealRefused, SignatureRefused, VerifyKey
from tombolo.storage.ledger.chain import FIRST_PREVIOUS, BadSegment, Chain, Header, Segment
from tombolo.storage.ledger.entries import BadEntry, Entry
from tombolo.storage.stores.base import Store

NAME = "_odometer"
_SIGNER = "signer"
_WRONG = (BadSegment, BadEntry, SealRefused, SignatureRefused, BadKeyMaterial)


class Damaged(CodedError):
    code = "TMB-PRIV-002"
    cause = "An entry of the odometer is missing, altered or unreadable, so nobody knows what has been released."
    remedy = (
        "Nothing is released until it is whole again. Restore the store's newest backup if it has the entry; else stop the tasks "
        "and run `tombolo odometer rebuild`."
    )


class Restored(CodedError):
    code = "TMB-PRIV-003"
    cause = "The odometer is older than a block that this party has signed: the store was restored from a backup."
    remedy = "Nothing is released until then: restore the newest state of the store, or run `tombolo odometer rebuild`."


def chain_name(generation: int) -> str:
    """The name of the first chain, or of the one after so many rebuilds; no agreement can have such a name."""
    return NAME if generation == 1 else f"{NAME}.{generation}"


def generations(store: Store) -> dict[int, list[int]]:
    """The numbers of the segments of every chain, by generation."""
    found: dict[int, list[int]] = {}
    for key in store.list(f"ledger/{NAME}"):
        _, name, _, number = (*key.split("/"), "", "", "")[:4]
        generation = name.removeprefix(NAME).removeprefix(".") or "1"
        if generation.isdecimal() and number.isdecimal():
            found.setdefault(int(generation), []).append(int(number))
    return found


class Tail:
    """Reads a chain to its end and adds to it. What was read is not read again.

    Each segment is signed. The sealed lines say by which key, whenever it is another one than before: the vault, which is never
    rotated, vouches for the keys.
    """

    def __init__(self, store: Store, keys: PartyKeys, generation: int) -> None:
        self.chain = Chain(store, keys, chain_name(generation))
        self.generation = generation
        self.digests = [FIRST_PREVIOUS]
        self._keys, self._own = keys, keys.signing.public()
        self._signer: VerifyKey | None = None

    @property
    def index(self) -> int:
        """The number of the last segment that was read or written."""
        return len(self.digests) - 1

    def follow(self) -> Iterator[list[Entry]]:
        """The entries of each segment that is new. Raises :class:`Damaged`."""
        segments = self.chain.after(self.index)
        while True:
            try:
                segment = next(segments, None)
                if segment is None:
                    return
                entries = self._read(segment)
            except _WRONG as error:
                raise Damaged(f"Segment {self.index + 1}: {error.cause}", party=self._keys.party) from None
            self.digests.append(segment.header.digest)
            yield entries

    def _read(self, segment: Segment) -> list[Entry]:
        """The entries of a segment, compared with everything that vouches for them."""
        if segment.header.previous != self.digests[-1] or segment.header.party != self._keys.party:
            raise BadSegment("It does not follow the segment before it.")
        entries = [Entry.read(line) for line in segment.lines(self._keys.vault)]
        signer = self._signer
        if entries and entries[0].subject == _SIGNER:
            signer = _key_of(entries.pop(0))
        if signer is None:
            raise BadSegment("It does not say who signed it.")
        segment.verify(signer)
        self._signer = signer
        return entries

    def add(self, entries: Sequence[Entry]) -> Header | None:
        """Write the next segment; None if another process was faster, whose segment must be read first."""
        lines = list(entries)
        if self._own != self._signer:
            body = {"verify": base64.b64encode(self._own.raw).decode()}
            lines.insert(0, Entry.now("release", "", _SIGNER, body))
        header = self.chain.add(self.index + 1, lines, self.digests[-1])
        if header is not None:
            self.digests.append(header.digest)
            self._signer = self._own
        return header


def _key_of(entry: Entry) -> VerifyKey:
    try:
        return VerifyKey(base64.b64decode(entry.body["verify"], validate=True))
    except (KeyError, TypeError, ValueError):
        raise BadEntry("A signer's key cannot be read.") from None
