"""A party's record of one agreement: what each run did, and whether the record is complete. New segments are read as they come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from tombolo.operators.runs import kind_of
from tombolo.storage.errors import CodedError
from tombolo.storage.stores.base import StoreRefused, StoreUnreachable

if TYPE_CHECKING:
    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.storage.identity import VerifyKey
    from tombolo.storage.ledger.entries import Entry

T = TypeVar("T")
ARTIFACTS = ("sent", "received")
_CHECK_AGAIN = 600.0
_UNREACHABLE = (StoreUnreachable, StoreRefused)


@dataclass
class RunRecord:
    """The entries of one run, without those of artifacts; ``segments`` are the segments that have entries of the run."""

    run: str
    entries: list[Entry] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    artifacts: int = 0

    def all(self, kind: str) -> list[Entry]:
        """All entries of a kind, in recorded order."""
        return [entry for entry in self.entries if entry.kind == kind]

    def last(self, kind: str) -> Entry | None:
        """The latest entry of a kind."""
        return next((entry for entry in reversed(self.entries) if entry.kind == kind), None)

    @property
    def kind(self) -> str:
        """The kind of the run, such as ``train``; for a run that never began, the kind in its name."""
        began = self.last("run")
        return began.subject if began else kind_of(self.run)

    @property
    def at(self) -> str:
        """When the run began."""
        return self.entries[0].at if self.entries else ""


@dataclass(frozen=True)
class Health:
    """How much of the record is checked (links, signatures and hashes of all bodies), and the first fault."""

    segments: int
    checked: int
    entries: int
    head: str | None
    fault: CodedError | None

    @property
    def whole(self) -> bool:
        """Whether all segments are checked and have no fault."""
        return self.fault is None and self.checked == self.segments


@dataclass(frozen=True)
class LastBlock:
    """The last final block that this party has; ``fault`` is what is wrong with it."""

    height: int
    hash: str
    run: str
    signers: tuple[str, ...]
    parties: tuple[str, ...]
    at: datetime
    fault: CodedError | None


class RecordIndex:
    """The index of a record. It reads each segment only once."""

    def __init__(self) -> None:
        self.runs: dict[str, RunRecord] = {}
        self._lock = threading.Lock()
        self._read = 0
        self._entries = 0
        self._checked, self._previous, self._since = 0, "", 0.0
        self._block: LastBlock | None = None

    def follow(self, context: PartyContext) -> RecordIndex:
        """Read the segments that are new since the last call."""
        with self._lock:
            length = context.chain.length()
            while self._read < length:
                self._take(context, self._read + 1)
                self._read += 1
        return self

    def _take(self, context: PartyContext, index: int) -> None:
        """Add one segment to the index. A segment that cannot be read is left out; :meth:`health` names it."""
        from tombolo.storage.ledger.entries import Entry

        try:
            segment = context.chain.segment(index)
            entries = [Entry.read(line) for line in segment.lines(context.keys.vault)]
        except _UNREACHABLE:
            raise
        except CodedError:
            return
        self._entries += len(entries)
        for entry in entries:
            known = self.runs.setdefault(entry.run, RunRecord(entry.run))
            if known.segments[-1:] != [index]:
                known.segments.append(index)
            if entry.kind in ARTIFACTS:
                known.artifacts += 1
            else:
                known.entries.append(entry)

    def artifacts(self, context: PartyContext, run: str) -> list[Entry]:
        """The entries of a run's artifacts, in recorded order."""
        from tombolo.storage.ledger.entries import Entry

        artifacts = []
        for index in self.runs[run].segments if run in self.runs else ():
            lines = context.chain.segment(index).lines(context.keys.vault)
            artifacts += [entry for entry in map(Entry.read, lines) if entry.run == run and entry.kind in ARTIFACTS]
        return artifacts

    def health(self, context: PartyContext) -> Health:
        """Check the new segments, and all segments again every ten minutes. Stops at the first fault."""
        from tombolo.storage.ledger.chain import FIRST_PREVIOUS, BadSegment

        with self._lock:
            length, fault = context.chain.length(), None
            if not self._since or time.monotonic() - self._since > _CHECK_AGAIN:
                self._checked, self._previous, self._since = 0, FIRST_PREVIOUS, time.monotonic()
            while self._checked < length and fault is None:
                try:
                    segment = context.chain.segment(self._checked + 1)
                    by_any(keys_of(context, context.me), segment.verify)
                    if segment.header.previous != self._previous:
                        raise BadSegment(f"Segment {self._checked + 1} does not follow the one before it.")
                    self._checked, self._previous = self._checked + 1, segment.header.digest
                except _UNREACHABLE:
                    raise
                except CodedError as error:
                    fault = error
            return Health(length, self._checked, self._entries, self._previous if self._checked else None, fault)

    def last_block(self, context: PartyContext) -> LastBlock | None:
        """The last final block. It is checked once: its votes, its attestations, and that these make this block."""
        height = context.blocks.height()
        if height and (self._block is None or self._block.height != height):
            self._block = _checked_block(context, height)
        return self._block if height else None


def keys_of(context: PartyContext, party: str) -> list[VerifyKey]:
    """All verification keys that were pinned for a party, the present key first."""
    pinned = [member.verify for link in context.agreement.chain for member in link.signers if member.name == party]
    return list(dict.fromkeys(reversed(pinned)))


def by_any(keys: list[VerifyKey], check: Callable[[VerifyKey], T]) -> T:
    """The result of ``check`` with the first key that it accepts. Raises SignatureRefused if it accepts none."""
    from tombolo.storage.identity import SignatureRefused

    for key in keys:
        try:
            return check(key)
        except SignatureRefused:
            continue
    raise SignatureRefused("The signature fits none of the keys that the agreement has pinned.")


def members_then(context: PartyContext, block: Mapping[str, Any]) -> dict[str, VerifyKey]:
    """The members' keys when a block was made. They are the signers of the next amendment, which all earlier members must sign."""
    chain = context.agreement.chain
    at = next((index for index, link in enumerate(chain) if link.digest == block["agreement_digest"]), None)
    if at is None or at == len(chain) - 1:
        return {name: member.verify for name, member in context.agreement.members.items()}
    before: dict[str, VerifyKey] = {}
    for member in chain[at + 1].signers:
        if member.name in block["parties"]:
            before.setdefault(member.name, member.verify)
    return before


def _checked_block(context: PartyContext, height: int) -> LastBlock | None:
    from tombolo.storage.canonical import digest
    from tombolo.storage.ledger.block import FIRST_PREVIOUS, ForgedBlock, verify_block

    at, fault = context.blocks.written(height), None
    try:
        kept = context.blocks.get(height)
    except _UNREACHABLE:
        raise
    except CodedError as error:
        return LastBlock(height, "", "", (), (), at, error)
    if kept is None:
        return None
    block = kept["block"]
    try:
        verify_block(kept, members_then(context, block))
        before = context.blocks.get(height - 1) if height > 1 else None
        if block["previous"] != (digest(before["block"]) if before else FIRST_PREVIOUS):
            raise ForgedBlock(f"Block {height} does not follow block {height - 1}.")
    except _UNREACHABLE:
        raise
    except CodedError as error:
        fault = error
    signers = sorted({vote["party"] for vote in kept["certificate"]})
    return LastBlock(height, digest(block), block["run"], tuple(signers), tuple(block["parties"]), at, fault)


_RECORDS: dict[tuple[str, str, str], RecordIndex] = {}


def record_of(context: PartyContext) -> RecordIndex:
    """The index of the party's record in this process, with all new segments."""
    key = (context.me, context.store.url, context.agreement.name)
    return _RECORDS.setdefault(key, RecordIndex()).follow(context)
