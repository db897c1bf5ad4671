"""What has been released, added up: the totals that the odometer's entries give, for each recipient, population and meter."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tombolo.storage.ledger.block import MOST_READINGS
from tombolo.storage.ledger.entries import BadEntry, Entry
from tombolo.storage.meters import METERS

_SLACK = 1e-9


@dataclass(frozen=True)
class Release:
    """What is about to leave this party: ``amount`` in the unit of ``meter``, about the people of ``population``.

    ``to`` are the recipients, sorted: they count as one coalition. ``item`` names what is identical: what a recipient has already
    costs nothing again. ``limit`` is the most of this meter for this population and any recipient in ``to``, over all runs and
    agreements. ``purpose`` is the kind of the run.
    """

    agreement: str
    run: str
    purpose: str
    stage: str
    meter: str
    to: tuple[str, ...]
    population: str
    item: str
    amount: float = 0.0
    limit: float | None = None

    def __post_init__(self) -> None:
        if self.meter not in METERS:
            raise ValueError(f"there is no meter {self.meter}")
        if not self.to or list(self.to) != sorted(set(self.to)):
            raise ValueError("the recipients of a release must be sorted and named once")
        if not (math.isfinite(self.amount) and self.amount >= 0):
            raise ValueError("an amount must be a finite number, and not negative")
        if self.limit is not None and not self.limit >= 0:
            raise ValueError("a limit must be a number, and not negative")

    def entry(self, **more: Any) -> Entry:
        """The entry that records the release."""
        body = {
            "agreement": self.agreement,
            "purpose": self.purpose,
            "stage": self.stage,
            "meter": self.meter,
            "to": list(self.to),
            "population": self.population,
            "item": self.item,
            "amount": self.amount,
            "limit": self.limit,
        }
        return Entry.now("release", self.run, f"{self.meter}/{self.item}", {**body, **more})

    @classmethod
    def of(cls, entry: Entry) -> Release:
        """The release in an entry. Raises BadEntry."""
        try:
            names = ("agreement", "purpose", "stage", "meter", "to", "population", "item", "amount", "limit")
            values = {name: entry.body[name] for name in names}
            return cls(run=entry.run, **{**values, "to": tuple(values["to"])})
        except (KeyError, TypeError, ValueError):
            raise BadEntry("An entry of the odometer is not a release.") from None


@dataclass(frozen=True)
class Use:
    """What one run has used of a reading, and when it last paid."""

    agreement: str
    run: str
    purpose: str
    amount: float
    at: str


@dataclass(frozen=True)
class Reading:
    """How much a recipient has got about a population on one meter. ``limit`` is the limit that was last named.

    ``uses`` are the runs, those that used most first. On the meter ``rows``, ``amount`` is what is known of the person of whom most
    is known.
    """

    recipient: str
    population: str
    meter: str
    amount: float
    limit: float | None = None
    uses: tuple[Use, ...] = ()

    @property
    def left(self) -> float | None:
        """What may still be released; None without a limit."""
        return None if self.limit is None else max(0.0, self.limit - self.amount)

    @property
    def last(self) -> Use | None:
        """The run that paid last."""
        return max(self.uses, key=lambda use: use.at, default=None)

    def statement(self) -> dict[str, Any]:
        """The reading as a block has it."""
        names = ("recipient", "population", "meter", "amount")
        return {name: getattr(self, name) for name in names}


Place = tuple[str, str, str]
"""A recipient, a population and a meter."""


@dataclass
class Account:
    """The total of one place, the items in it with what was paid for them, and the runs that paid."""

    total: float = 0.0
    limit: float | None = None
    items: dict[str, float] = field(default_factory=dict)
    uses: dict[tuple[str, str, str], tuple[float, str]] = field(default_factory=dict)

    def cost(self, item: str, amount: float) -> float:
        """What an item would cost here: nothing, if it was paid for already."""
        return max(0.0, amount - self.items.get(item, 0.0)) if item in self.items else amount


@dataclass(frozen=True)
class Snapshot:
    """A snapshot of what one recipient knows of each person: its name in the private area, and the digest of its bytes."""

    name: str
    sha256: str


class Totals:
    """The sum of all entries that were taken, in their order."""

    def __init__(self) -> None:
        self.accounts: dict[Place, Account] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.paid: dict[tuple[str, str, str], list[tuple[Release, dict[str, Any]]]] = {}
        self.rebuilt: dict[str, int] = {}

    def account(self, recipient: str, population: str, meter: str) -> Account:
        """The account of a place; an empty one if nothing was released there."""
        return self.accounts.get((recipient, population, meter), Account())

    def take(self, entry: Entry) -> None:
        """Add one entry. Raises BadEntry."""
        if entry.kind != "release":
            raise BadEntry("An entry of the odometer is not a release.")
        if "blocks" in entry.body:
            self.rebuilt = _heights(entry.body["blocks"])
            return
        release, body = Release.of(entry), entry.body
        known = body.get("snapshots") or {}
        for recipient in release.to:
            self._take(release, recipient, entry.at, _most(known.get(recipient)))
        for recipient, snapshot in known.items():
            self.snapshots[recipient] = Snapshot(snapshot["name"], snapshot["sha256"])
        self.paid.setdefault((release.agreement, release.run, release.stage), []).append((release, body))

    def _take(self, release: Release, recipient: str, at: str, most: float | None) -> None:
        account = self.accounts.setdefault((recipient, release.population, release.meter), Account())
        cost = account.cost(release.item, release.amount)
        account.total = account.total + cost if most is None else max(account.total, most)
        account.items[release.item] = max(release.amount, account.items.get(release.item, 0.0))
        account.limit = account.limit if release.limit is None else release.limit
        user = (release.agreement, release.run, release.purpose)
        account.uses[user] = account.uses.get(user, (0.0, ""))[0] + cost, at

    def excess(self, releases: Sequence[Release]) -> tuple[Release, str, float] | None:
        """The first of these releases that passes its limit, with the recipient and what it would cost; None if all fit."""
        added: dict[Place, Account] = {}
        for release in releases:
            for recipient in release.to:
                place = (recipient, release.population, release.meter)
                known, extra = self.account(*place), added.setdefault(place, Account())
                before = max(known.items.get(release.item, 0.0), extra.items.get(release.item, 0.0))
                cost = max(0.0, release.amount - before)
                extra.items[release.item], extra.total = max(before, release.amount), extra.total + cost
                limit = math.inf if release.limit is None else release.limit
                if cost and known.total + extra.total > limit * (1 + _SLACK):
                    return release, recipient, extra.total
        return None

    def new(self, releases: Iterable[Release]) -> list[Release]:
        """Those of the releases that some recipient does not have yet, each named once."""
        wanted = {(one.item, one.population, one.meter, one.to, one.amount): one for one in releases}
        return [
            one
            for one in wanted.values()
            if any(self.account(to, one.population, one.meter).cost(one.item, one.amount) > 0 for to in one.to)
        ]

    def readings(self, recipients: Collection[str] | None = None) -> list[Reading]:
        """All readings, by recipient, population and meter."""
        return [
            Reading(*place, account.total, account.limit, uses_of(account))
            for place, account in sorted(self.accounts.items())
            if recipients is None or place[0] in recipients
        ]

    def statements(self, recipients: Collection[str]) -> list[dict[str, Any]]:
        """The readings that a block has: about these recipients only, and the largest ones if there are too many."""
        found = self.readings(recipients)  # sorted by place
        kept = sorted(range(len(found)), key=lambda at: (-found[at].amount, at))[:MOST_READINGS]
        return [found[at].statement() for at in sorted(kept)]


def uses_of(account: Account) -> tuple[Use, ...]:
    """The runs that have used an account, those that used most first."""
    uses = [Use(*user, amount, at) for user, (amount, at) in account.uses.items()]
    return tuple(sorted(uses, key=lambda use: (-use.amount, use.agreement, use.run)))


def _most(snapshot: Mapping[str, Any] | None) -> float | None:
    try:
        return None if snapshot is None else float(snapshot["most"])
    except (KeyError, TypeError, ValueError):
        raise BadEntry("An entry of the odometer is not a release.") from None


def _heights(blocks: Any) -> dict[str, int]:
    if not isinstance(blocks, dict) or not all(type(height) is int for height in blocks.values()):
        raise BadEntry("An entry of the odometer is not a release.")
    return dict(blocks)
