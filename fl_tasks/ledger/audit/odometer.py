"""The odometer: every segment is in its place and signed, and says what this party has stated about it in the blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tombolo.fl_tasks.ledger.audit.findings import Audit, CutOff, Differs, Missing
from tombolo.fl_tasks.ledger.audit.source import StoreSource
from tombolo.fl_tasks.privacy.chains import NAME, Tail, generations
from tombolo.fl_tasks.privacy.persons import Persons, fingerprint
from tombolo.fl_tasks.privacy.totals import Totals
from tombolo.storage.errors import CodedError
from tombolo.storage.ledger.chain import segment_key
from tombolo.storage.ledger.entries import BadEntry
from tombolo.storage.stores.base import KeyMissing

PART = "odometer"
Kept = Mapping[str, Any]


def check_odometer(audit: Audit, source: StoreSource, blocks: Mapping[int, Kept]) -> None:
    """Check the chain that counts now, and compare it with what this party has stated in these blocks.

    Chains from before a rebuild are counted only: they were damaged or too short, and blocks up to the rebuild were taken over.
    """
    found, me = generations(source.store), source.party
    stated = {height: kept["block"] for height, kept in blocks.items() if me in kept["block"].get("odometers", {})}
    if not found and not stated:
        return
    newest = max(found, default=1)
    for generation, numbers in found.items():
        if generation != newest:
            audit.count(PART, "replaced segments", len(numbers))
    reading = _Reading(audit, source, newest, found.get(newest, []))
    for height in sorted(stated):
        reading.expect(height, stated[height])
    reading.read()
    reading.compare()
    _check_snapshots(audit, source, reading.totals)


class _Reading:
    """Reads the chain from its start, and notes what it says at the segments that blocks name."""

    def __init__(self, audit: Audit, source: StoreSource, generation: int, numbers: list[int]) -> None:
        self._audit, self._source, self._numbers = audit, source, numbers
        self._tail = Tail(source.store, source.keys, generation)
        self._expected: dict[int, tuple[Mapping[str, Any], list[str]]] = {}
        self._says: dict[int, list[dict[str, Any]]] = {}
        self.totals = Totals()
        self._whole = True

    def expect(self, height: int, block: Mapping[str, Any]) -> None:
        """Note what this party has stated in a block."""
        self._expected[height] = block["odometers"][self._source.party], block["parties"]

    def read(self) -> None:
        """Read to the first fault, which is a finding."""
        name = self._tail.chain.agreement
        gap = next((at for at, number in enumerate(self._numbers, start=1) if number != at), None)
        if gap is not None:
            self._whole = False
            self._audit.find(PART, segment_key(name, gap), Missing("Segments after it are there."))
        pinned = {said["odometer"]["index"]: parties for said, parties in self._expected.values()}
        try:
            for entries in self._tail.follow():
                for entry in entries:
                    self.totals.take(entry)
                self._audit.count(PART, "segments")
                self._audit.count(PART, "entries", len(entries))
                if self._tail.index in pinned:
                    self._says[self._tail.index] = self.totals.statements(pinned[self._tail.index])
        except CodedError as error:
            self._whole = False
            self._audit.find(PART, segment_key(name, self._tail.index + (not isinstance(error, BadEntry))), error)

    def compare(self) -> None:
        """Compare the chain with what was stated. Raises nothing: differences are findings about the block."""
        agreement, rebuilt = self._source.agreement.name, self.totals.rebuilt.get(self._source.agreement.name, 0)
        for height, (said, _) in self._expected.items():
            head, key = said["odometer"], f"ledger/{agreement}/blocks/{height:09d}"
            with self._audit.at(PART, key):
                self._audit.count(PART, "readings", len(said["readings"]))
                if height <= rebuilt:
                    self._not_less(said["readings"])
                elif head["index"] <= self._tail.index:
                    self._same(head, said["readings"])
                elif self._whole:
                    raise CutOff(f"It names segment {head['index']} of the odometer, which ends at {self._tail.index}.")

    def _same(self, head: Mapping[str, Any], stated: list[dict[str, Any]]) -> None:
        if self._tail.digests[head["index"]] != head["digest"]:
            raise Differs(f"Its segment {head['index']} of the odometer is another one than the stored one.")
        if self._says[head["index"]] != stated:
            raise Differs("Its readings are not those of the odometer.")

    def _not_less(self, stated: list[dict[str, Any]]) -> None:
        for one in stated:
            if self.totals.account(one["recipient"], one["population"], one["meter"]).total < one["amount"] * (1 - 1e-9):
                raise Differs("After the rebuild, the odometer says less than this block.")


def _check_snapshots(audit: Audit, source: StoreSource, totals: Totals) -> None:
    """The newest snapshot of each recipient must be the one that the chain names."""
    for snapshot in totals.snapshots.values():
        key = f"private/{NAME}/{snapshot.name}"
        with audit.at(PART, key):
            try:
                data = source.read(key)
            except KeyMissing:
                raise Missing() from None
            if fingerprint(data) != snapshot.sha256:
                raise Differs()
            Persons.decode(data)
            audit.count(PART, "snapshots")
