"""What the members of an agreement have got from this party over all runs and agreements, and how much is left."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tombolo.storage.errors import CodedError

if TYPE_CHECKING:
    from tombolo.fl_tasks.privacy.odometer import Odometer, Reading
    from tombolo.fl_tasks.privacy.totals import Use
    from tombolo.fl_tasks.runtime.context import PartyContext

ROWS = 50
USERS = 5


@dataclass(frozen=True)
class Released:
    """One reading, with this party's own name for the people. ``share`` is the used part of the limit, at most 1."""

    recipient: str
    people: str
    meter: str
    unit: str
    about: str
    reading: Reading

    @property
    def share(self) -> float | None:
        """None without a limit."""
        limit = self.reading.limit
        return None if limit is None else min(1.0, self.reading.amount / limit) if limit else 1.0


@dataclass(frozen=True)
class Gauge:
    """The readings about an agreement's members, the runs that used most, and why the odometer refuses releases, if it does."""

    rows: tuple[Released, ...] = ()
    more: int = 0
    users: tuple[tuple[Use, Released], ...] = ()
    error: CodedError | None = None


_ODOMETERS: dict[tuple[str, str], Odometer] = {}
_LOCK = threading.Lock()


def gauge(context: PartyContext) -> Gauge:
    """What the odometer says of the agreement's members. New entries are read as they come."""
    from tombolo.fl_tasks.privacy.chains import Damaged
    from tombolo.fl_tasks.privacy.populations import titles
    from tombolo.storage.meters import METERS

    with _LOCK:
        odometer = _ODOMETERS.setdefault((context.me, context.store.url), context.odometer)
    named = titles(context.keys.vault, context.party_settings, [context.agreement.name])
    try:
        readings = [one for one in odometer.readings() if one.recipient in context.agreement.members]
    except Damaged as error:
        return Gauge(error=error)
    rows = []
    for one in readings:
        meter, people = METERS[one.meter], named.get(one.population, f"{one.population[:12]}…")
        rows.append(Released(one.recipient, people, meter.name, meter.unit, meter.about, one))
    uses = [(use, row) for row in rows for use in row.reading.uses]
    uses.sort(key=lambda pair: -pair[0].amount / (pair[1].reading.limit or float("inf")))
    return Gauge(tuple(rows[:ROWS]), max(0, len(rows) - ROWS), tuple(uses[:USERS]))
