"""The odometer: counts what this party has released, in all its agreements, and refuses what would pass a limit.

Everything is paid before it leaves, and never refunded. The entries are signed, sealed and chained like the party's record, and
create-only: of two processes that together would pass a limit, one comes second, reads what the other has paid, and is refused.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.privacy.chains import NAME, Damaged, Restored, Tail, chain_name, generations
from tombolo.fl_tasks.privacy.persons import STEPS, Ids, Persons, Units, counted, fingerprint, total
from tombolo.fl_tasks.privacy.totals import Reading, Release, Snapshot, Totals, Use, uses_of
from tombolo.storage.errors import CodedError
from tombolo.storage.identity import PartyKeys, SealRefused
from tombolo.storage.ledger.entries import BadEntry, Entry
from tombolo.storage.meters import METERS, ROWS
from tombolo.storage.private import PrivateArea
from tombolo.storage.stores.base import Store

_LARGEST_USERS = 3


class Spent(CodedError):
    code = "TMB-PRIV-001"
    cause = "This would tell a recipient more than may leave over all runs and agreements. Nothing of it has left."
    remedy = (
        "All parties of the agreement can agree to more, by new terms with a larger limits.exposure or limits.row_bits. Or use "
        "larger tables, or a later run with other people."
    )
    house_remedy = (
        "The limit is this party's own: it can set a larger one in its settings (odometer.<meter>). Or use larger tables, or a "
        "later run with other people."
    )

    def __init__(self, detail: str = "", *, house: bool = False, **where: Any) -> None:
        super().__init__(detail, **where)
        self.house = house

    def words(self) -> tuple[str, str]:
        return self.detail, self.house_remedy if self.house else self.remedy


class Odometer:
    """One party's odometer. ``house`` are the party's own limits, by meter; the smaller one of house and release counts."""

    def __init__(self, store: Store, keys: PartyKeys, house: Mapping[str, float] | None = None) -> None:
        self._store, self._keys, self._house = store, keys, dict(house or {})
        self._area = PrivateArea(store, keys.vault, NAME)
        self._lock = threading.RLock()
        self._tail: Tail | None = None
        self._totals = Totals()
        self._known: dict[str, tuple[Snapshot, Persons]] = {}

    # -- paying -------------------------------------------------------------------------------------------------------------

    def pay(self, releases: Sequence[Release]) -> None:
        """Count these releases, all or none. Raises :class:`Spent` before anything is written, Damaged or Restored.

        It returns when the entry is in the store. What a recipient has already costs nothing.
        """
        if any(release.meter == ROWS.name for release in releases):
            raise ValueError("what is told of single rows is counted for each person: use pay_rows")
        wanted = [self._limited(release) for release in releases]
        with self._lock:
            while True:
                tail = self._follow()
                new = self._totals.new(wanted)
                if not new:
                    return
                passing = self._totals.excess(new)
                if passing is not None:
                    raise self._spent(*passing)
                entries = [release.entry() for release in new]
                if tail.add(entries) is not None:
                    for entry in entries:
                        self._totals.take(entry)
                    return

    def pay_rows(self, release: Release, persons: npt.NDArray[np.uint64], bits: float, limit: float | None = None) -> None:
        """Count ``bits`` about each of these persons, for each recipient. ``limit`` is the most about one person.

        ``persons`` are hashes under a secret of this party that stays the same. ``release.item`` says what is identical: the same
        item costs once. Raises :class:`Spent` with the number of persons for whom it would be too much; then nobody is counted.
        """
        if release.meter != ROWS.name:
            raise ValueError("only what is told of single rows is counted for each person: use pay")
        release = self._limited(replace(release, amount=bits, limit=limit))
        ids, units = counted(persons, bits)
        with self._lock:
            while True:
                tail = self._follow()
                new = [to for to in release.to if self._account(to, release).cost(release.item, bits) > 0]
                if not new or not len(ids):
                    return
                before = {to: self._persons(to) for to in new}
                for to, known in before.items():
                    self._require_room(release, to, known.known(ids), units)
                if self._add_rows(tail, replace(release, to=tuple(new)), ids, units, before):
                    return

    def _add_rows(self, tail: Tail, release: Release, ids: Ids, units: Units, before: Mapping[str, Persons]) -> bool:
        """Write the snapshots, then the entry that names them. False if another process was faster."""
        index, written, grown = tail.index + 1, dict[str, dict[str, Any]](), dict[str, Persons]()
        for to, known in before.items():
            grown[to] = known.plus(ids, units)
            data = grown[to].encode()
            sha256 = fingerprint(data)
            name = f"{to}/{tail.generation:04d}-{index:09d}-{sha256[:16]}"
            self._area.keep(name, data)
            most = int(total(known.known(ids), units).max()) / STEPS
            written[to] = {"name": name, "sha256": sha256, "most": most}
        entry = release.entry(persons=len(ids), snapshots=written)
        if tail.add([entry]) is None:
            for one in written.values():
                self._area.delete(one["name"])
            return False
        self._totals.take(entry)
        for to, persons in grown.items():
            self._known[to] = self._totals.snapshots[to], persons
            self._tidy(to)
        return True

    def _require_room(self, release: Release, to: str, known: Units, units: Units) -> None:
        if release.limit is None:
            return
        most = math.floor(release.limit * STEPS + 1e-9)
        passing = int((total(known, units) > most).sum())
        if passing:
            who = f"{passing:,} of {len(units):,} persons" if passing > 1 else f"1 person of {len(units):,}"
            head = f"Meter {release.meter}, to {to}: for {who}, {release.amount:g} bits more would pass {release.limit:g} bits."
            raise self._refusal(release, to, head)

    def _limited(self, release: Release) -> Release:
        """The release with the smaller one of its own limit and the house's."""
        limits = [limit for limit in (release.limit, self._house.get(release.meter)) if limit is not None]
        return replace(release, limit=min(limits, default=None))

    def _spent(self, release: Release, recipient: str, cost: float) -> Spent:
        unit, account = METERS[release.meter].unit, self._account(recipient, release)
        to = recipient if len(release.to) == 1 else f"{recipient} (with {', '.join(to for to in release.to if to != recipient)})"
        head = f"Meter {release.meter}, to {to}: {_number(account.total)} of {_number(release.limit or 0)} {unit} are spent; "
        return self._refusal(release, recipient, f"{head}run {release.run} ({release.purpose}) wants {_number(cost)} more.")

    def _refusal(self, release: Release, recipient: str, head: str) -> Spent:
        largest = uses_of(self._account(recipient, release))[:_LARGEST_USERS]
        users = "; ".join(f"run {use.run} ({use.purpose}): {_number(use.amount)}" for use in largest if use.amount)
        house = release.limit is not None and release.limit == self._house.get(release.meter)
        by = "The limit is this party's own." if house else "The limit is the agreement's."
        return Spent(f"{head} {by}{f' Most was used by {users}.' if users else ''}", house=house, party=self._keys.party)

    def _account(self, recipient: str, release: Release) -> Any:
        return self._totals.account(recipient, release.population, release.meter)

    # -- reading ------------------------------------------------------------------------------------------------------------

    def readings(self) -> list[Reading]:
        """What has been released, by recipient, population and meter. Raises Damaged."""
        with self._lock:
            self._follow()
            return self._totals.readings()

    def head(self) -> dict[str, Any]:
        """The number and the header hash of the last segment; number 0 if nothing was released."""
        with self._lock:
            tail = self._follow()
            return {"index": tail.index, "digest": tail.digests[-1]}

    def statement(self, recipients: Collection[str]) -> dict[str, Any]:
        """What this party states in a block: the head, and the readings of these recipients. Nothing if nothing was released."""
        with self._lock:
            head = self.head()
            return {"odometer": head, "readings": self._totals.statements(recipients)} if head["index"] else {}

    def paid(self, agreement: str, run: str, stage: str) -> list[Release]:
        """What a stage of a run has paid, in order: to know after a restart what need not be paid again."""
        with self._lock:
            self._follow()
            return [release for release, _ in self._totals.paid.get((agreement, run, stage), [])]

    def require(self, head: Mapping[str, Any], height: int, agreement: str) -> None:
        """Raise Restored unless the odometer has the segment that the block at ``height`` of an agreement names."""
        with self._lock:
            tail = self._follow()
            index, digest = head["index"], head["digest"]
            if height <= self._totals.rebuilt.get(agreement, 0):
                return
            if index > tail.index:
                detail = f"Block {height} of {agreement} names segment {index}; the last one here is {tail.index}."
                raise Restored(detail, party=self._keys.party)
            if tail.digests[index] != digest:
                detail = f"Segment {index} is another one than block {height} of {agreement} names."
                raise Restored(detail, party=self._keys.party)

    def check_persons(self) -> None:
        """Raise Damaged if the newest snapshot of a recipient, of what is known of each person, is missing or altered."""
        with self._lock:
            self._follow()
            for recipient in list(self._totals.snapshots):
                self._persons(recipient)

    def _follow(self) -> Tail:
        """Read what is new. Only the first time, the store is listed: no number may be missing."""
        tail, area = self._tail, f"ledger/{chain_name((self._tail.generation if self._tail else 0) + 1)}/"
        if tail is None or self._store.list(area):
            tail, self._totals, self._known = self._begin(), Totals(), {}
        self._tail = None  # after an error, everything is read again
        for entries in tail.follow():
            self._take(tail, entries)
        self._tail = tail
        return tail

    def _take(self, tail: Tail, entries: Sequence[Entry]) -> None:
        try:
            for entry in entries:
                self._totals.take(entry)
        except BadEntry as error:
            raise Damaged(f"Segment {tail.index}: {error.cause}", party=self._keys.party) from None

    def _begin(self) -> Tail:
        found = generations(self._store)
        newest = max(found, default=1)
        numbers = found.get(newest, [])
        gap = next((at for at, number in enumerate(numbers, start=1) if number != at), None)
        if gap is not None:
            raise Damaged(f"Segment {gap} is missing.", party=self._keys.party)
        return Tail(self._store, self._keys, newest)

    # -- what is known of each person ---------------------------------------------------------------------------------------

    def _persons(self, recipient: str) -> Persons:
        """What a recipient knows of each person. Raises Damaged if the newest snapshot is missing or altered."""
        wanted = self._totals.snapshots.get(recipient)
        if wanted is None:
            return Persons.none()
        snapshot, persons = self._known.get(recipient, (None, None))
        if snapshot != wanted or persons is None:
            try:
                persons = self._stored(wanted)
            except Damaged:
                self._follow()  # another process may have written a newer one, and deleted this one
                if self._totals.snapshots.get(recipient) == wanted:
                    raise
                return self._persons(recipient)
            self._known[recipient] = wanted, persons
        return persons

    def _stored(self, snapshot: Snapshot) -> Persons:
        try:
            data = self._area.get(snapshot.name)
            if data is None or fingerprint(data) != snapshot.sha256:
                raise ValueError(snapshot.name)
            return Persons.decode(data)
        except (SealRefused, ValueError):
            raise Damaged(f"Snapshot {snapshot.name} is missing or altered.", party=self._keys.party) from None

    def _tidy(self, recipient: str) -> None:
        """Delete the older snapshots of a recipient; the chain names a newer one."""
        newest = self._totals.snapshots[recipient].name
        for name in self._area.names(f"{recipient}/"):
            if name < newest:
                self._area.delete(name)


def person_item(version: str, persons: npt.NDArray[np.uint64]) -> str:
    """The item of what a version tells about these persons: the same for the same version and the same persons."""
    return f"{version}/{hashlib.sha256(np.sort(np.asarray(persons, np.uint64)).tobytes()).hexdigest()[:32]}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


__all__ = ["Damaged", "Odometer", "Reading", "Release", "Restored", "Spent", "Use", "person_item"]
