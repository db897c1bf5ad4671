"""Times that another party wrote: read with bounds, and compared with one's own clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tombolo.storage.errors import CodedError

MOST_CHARACTERS = 40
_YEARS = range(2000, 2200)
"""Far enough from the ends of time that no sum and no time zone overflows."""
CLOCKS_APART = 60.0
"""Seconds that two parties' clocks may differ, if the terms do not say it."""


class WrongTime(CodedError):
    code = "TMB-EXCH-006"
    cause = "A time that a peer has signed is later or earlier than it can be by this party's clock."
    remedy = "Compare the clocks of both machines (NTP). `deadlines.clocks` in the terms says how much they may differ."


def moment(text: str) -> datetime:
    """A time in ISO 8601, as UTC. Without a time zone it is UTC. Raises ValueError outside of the years 2000 to 2199."""
    if len(text) > MOST_CHARACTERS:
        raise ValueError("a time has at most 40 characters")
    read = datetime.fromisoformat(text)
    if read.year not in _YEARS:
        raise ValueError("a time must be in the years 2000 to 2199")
    return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)


def require_past(at: datetime, apart: float, what: str, party: str) -> None:
    """Raise :class:`WrongTime` if a time is later than now, by more than the clocks may differ (seconds)."""
    if at > datetime.now(UTC) + timedelta(seconds=apart):
        raise WrongTime(f"{what}: {at.isoformat(timespec='seconds')}.", party=party)
