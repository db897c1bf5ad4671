"""Rebuild the odometer: a new chain whose totals are not lower than anything that is still known.

Three things are known: what this party stated in blocks (its own copies, and those in the bundles of peers), what can still be read
in the old chain, and the snapshots of what is known of each person. The old chain stays as it is, under its own name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tombolo.agreements.agreement import Agreement
from tombolo.fl_tasks.ledger.audit.blocks import members_of
from tombolo.fl_tasks.ledger.audit.bundle import opened
from tombolo.fl_tasks.ledger.audit.findings import Audit
from tombolo.fl_tasks.ledger.audit.source import AuditSource, read_document
from tombolo.fl_tasks.privacy.chains import NAME, Damaged, Restored, Tail, chain_name, generations
from tombolo.fl_tasks.privacy.odometer import Odometer
from tombolo.fl_tasks.privacy.persons import Persons, fingerprint
from tombolo.fl_tasks.privacy.totals import Place, Release, Snapshot, Totals
from tombolo.storage.errors import CodedError
from tombolo.storage.identity import PartyKeys
from tombolo.storage.ledger.block import verify_block
from tombolo.storage.ledger.entries import Entry
from tombolo.storage.meters import ROWS
from tombolo.storage.private import PrivateArea
from tombolo.storage.stores.base import Store

Stated = dict[str, dict[int, Mapping[str, Any]]]
"""What this party has stated about its odometer, by agreement and height."""


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild did: the name of the new chain, how many readings it begins with, and the last block of each agreement."""

    chain: str
    readings: int
    blocks: Mapping[str, int]
    kept: str
    unreadable: int = 0


@dataclass
class _Known:
    amounts: dict[Place, float] = field(default_factory=dict)
    limits: dict[Place, float | None] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    blocks: dict[str, int] = field(default_factory=dict)

    def at_least(self, place: Place, amount: float) -> None:
        self.amounts[place] = max(amount, self.amounts.get(place, 0.0))

    def take(self, totals: Totals) -> None:
        for place, account in totals.accounts.items():
            self.at_least(place, account.total)
            self.limits[place] = account.limit
        self.snapshots |= totals.snapshots
        self.blocks |= totals.rebuilt


def stated_in(source: AuditSource, agreement: Agreement, me: str) -> dict[int, Mapping[str, Any]]:
    """What ``me`` has stated in the blocks of a store or a bundle, by height. Blocks that are not valid are left out."""
    found: dict[int, Mapping[str, Any]] = {}
    for key in source.names(f"ledger/{agreement.name}/blocks/"):
        with suppress(CodedError, LookupError, TypeError, ValueError):
            kept = read_document(source, key)
            for members in members_of(agreement, kept["block"]):
                with suppress(CodedError):
                    block = verify_block(kept, members)
                    if me in block.get("odometers", {}):
                        found[block["height"]] = block["odometers"][me]
                    break
    return found


def stated_in_bundle(path: Path, agreements: Mapping[str, Agreement], me: str, plugins: Sequence[str]) -> Stated:
    """What ``me`` has stated in the blocks of a peer's bundle. Raises BadBundle; a bundle of another agreement says nothing."""
    with opened(Audit(), path, plugins) as source:
        agreement = agreements.get(source.agreement.name)
        return {} if agreement is None else {agreement.name: stated_in(source, agreement, me)}


def trouble(store: Store, keys: PartyKeys, stated: Stated) -> CodedError | None:
    """Why the odometer cannot be used; None if it is whole and not older than any block."""
    odometer = Odometer(store, keys)
    try:
        odometer.check_persons()
        for agreement, heights in stated.items():
            for height in sorted(heights, reverse=True):
                odometer.require(heights[height]["odometer"], height, agreement)
    except (Damaged, Restored) as error:
        return error
    return None


def rebuild(store: Store, keys: PartyKeys, stated: Stated, heights: Mapping[str, int]) -> Rebuilt:
    """Begin a new chain. ``heights`` are the last blocks of the party's agreements: nothing is expected of them any more.

    Call it while no task of the party runs.
    """
    found = generations(store)
    newest = max(found, default=0)
    known, unread = _Known(), 0
    for generation, numbers in found.items():
        totals, lost = _salvaged(store, keys, generation, numbers)
        known.take(totals)
        unread += lost if generation == newest else 0
    for blocks in stated.values():
        _take_stated(store, keys, known, blocks, newest, found.get(newest, []))
    for name, height in heights.items():
        known.blocks[name] = max([height, known.blocks.get(name, 0), *stated.get(name, {})])
    chain, old = chain_name(newest + 1), chain_name(newest) if newest else ""
    entries = [Entry.now("release", "", "rebuilt", {"blocks": known.blocks, "after": old, "unreadable": unread})]
    entries += _entries(PrivateArea(store, keys.vault, NAME), known, newest + 1)
    if Tail(store, keys, newest + 1).add(entries) is None:
        raise Damaged("Another process has begun a new chain just now.", party=keys.party)
    return Rebuilt(chain, len(entries) - 1, known.blocks, old, unread)


def _take_stated(
    store: Store, keys: PartyKeys, known: _Known, blocks: Mapping[int, Mapping[str, Any]], generation: int, numbers: Iterable[int]
) -> None:
    """Take in what was stated in the blocks of one agreement; to the last one, add what the chain says that it paid later."""
    for height, said in blocks.items():
        later = Totals()
        if height == max(blocks) and generation:
            later, _ = _salvaged(store, keys, generation, (one for one in numbers if one > said["odometer"]["index"]))
        for one in said["readings"]:
            place = one["recipient"], one["population"], one["meter"]
            more = 0.0 if place[2] == ROWS.name else later.account(*place).total
            known.at_least(place, one["amount"] + more)


def _salvaged(store: Store, keys: PartyKeys, generation: int, numbers: Iterable[int]) -> tuple[Totals, int]:
    """What these segments of a chain say, as far as they can be read, and how many cannot."""
    totals, unread = Totals(), 0
    chain = Tail(store, keys, generation).chain
    for number in sorted(numbers):
        try:
            for line in chain.segment(number).lines(keys.vault):
                entry = Entry.read(line)
                if entry.subject != "signer":
                    totals.take(entry)
        except CodedError:
            unread += 1
    return totals, unread


def _entries(area: PrivateArea, known: _Known, generation: int) -> list[Entry]:
    """A release for each reading; for what is known of persons, with the newest snapshot that can be read."""
    rows: dict[str, float] = {}
    for (recipient, _, meter), amount in known.amounts.items():
        if meter == ROWS.name:
            rows[recipient] = max(amount, rows.get(recipient, 0.0))
    snapshots = {
        recipient: _snapshot(area, recipient, most, generation, known.snapshots.get(recipient)) for recipient, most in rows.items()
    }
    entries = []
    for place, amount in sorted(known.amounts.items()):
        recipient, population, meter = place
        release = Release(
            agreement="",
            run="",
            purpose="rebuilt",
            stage="rebuilt",
            meter=meter,
            to=(recipient,),
            population=population,
            item=f"rebuilt/{generation}/{meter}/{population}",
            amount=amount,
            limit=known.limits.get(place),
        )
        more = {} if meter != ROWS.name else {"snapshots": {recipient: {**snapshots[recipient], "most": amount}}}
        entries.append(release.entry(**more))
    return entries


def _snapshot(area: PrivateArea, recipient: str, most: float, generation: int, newest: Snapshot | None) -> dict[str, str]:
    """The newest snapshot under a name of the new chain. If it cannot be read, everybody counts with the most that was stated."""
    persons, whole = Persons.none(most), False
    for name in reversed(area.names(f"{recipient}/")):
        with suppress(CodedError, ValueError):
            data = area.get(name) or b""
            persons, whole = Persons.decode(data), newest is not None and fingerprint(data) == newest.sha256
            break
    if not whole:
        floor = Persons.none(most).floor
        persons = replace(persons, units=persons.units.clip(min=floor), floor=max(floor, persons.floor))
    data = persons.encode()
    name = f"{recipient}/{generation:04d}-000000001-{fingerprint(data)[:16]}"
    area.keep(name, data)
    return {"name": name, "sha256": fingerprint(data)}
