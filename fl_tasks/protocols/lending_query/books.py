"""Books of what was asked: one for each epoch, an entry for each run, in the order in which they came.

A lender's entries hold commitments to consents; the arbiter's hold points that it can tell people apart by, in one series.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tombolo.fl_tasks.protocols.lending_query.errors import (
    AskerQuotaSpent,
    BadTicket,
    ConsentMissing,
    CoolingDown,
    PersonQuotaSpent,
)
from tombolo.fl_tasks.protocols.lending_query.keys import Keeping
from tombolo.fl_tasks.protocols.lending_query.state import ENTRIES, REFUSED
from tombolo.fl_tasks.runtime.state import Item
from tombolo.storage.canonical import canonical, parse
from tombolo.storage.errors import CodedError

_LARGEST = 1 << 26
_REFUSALS: dict[str, type[CodedError]] = {one.code: one for one in (AskerQuotaSpent, ConsentMissing, CoolingDown, PersonQuotaSpent)}


@dataclass(frozen=True)
class Asked:
    """A batch: its run, when it came, and 32 bytes for each question."""

    run: str
    at: datetime
    digests: frozenset[bytes]

    @classmethod
    def of(cls, run: str, at: datetime, digests: Iterable[bytes]) -> Asked:
        return cls(run, at, frozenset(digests))

    def to_bytes(self) -> bytes:
        """As it is kept."""
        return canonical({"run": self.run, "at": self.at.isoformat(), "digests": sorted(one.hex() for one in self.digests)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Asked:
        """Inverse of :meth:`to_bytes`."""
        found = parse(data, _LARGEST)
        return cls.of(found["run"], datetime.fromisoformat(found["at"]), map(bytes.fromhex, found["digests"]))


class Book:
    """What was asked in one epoch, in the series ``series``."""

    def __init__(self, keeping: Keeping, series: str, epoch: str) -> None:
        self.series, self.epoch = series, epoch
        self._state, self._entries, self._refused = keeping.state, ENTRIES.of(series, epoch), REFUSED.of(series, epoch)

    def entries(self) -> list[Asked]:
        """All batches that were not refused."""
        return [one for one in self._all() if self._refused.of(one.run) not in self._state]

    def enter(self, asked: Asked, asker: str) -> list[Asked]:
        """Enter a batch, once however often it comes; returns what was entered before it and not refused.

        Raises what the batch was refused for, or BadTicket where its run has asked something else.
        """
        while True:
            there = self._all()
            at = next((at for at, one in enumerate(there) if one.run == asked.run), None)
            if at is not None:
                break
            self._state.keep(self._entries.of(len(there)), asked.to_bytes())
        if there[at].digests != asked.digests:
            raise BadTicket("Its run has asked something else before.", party=asker)
        verdict = self._state.get(self._refused.of(asked.run))
        if verdict is not None:
            raise _REFUSALS[verdict](party=asker)
        return [one for one in there[:at] if self._refused.of(one.run) not in self._state]

    def copy(self, asked: Asked) -> None:
        """Take over what was decided elsewhere."""
        if all(one.run != asked.run for one in self._all()):
            self._state.keep(self._entries.of(len(self._all())), asked.to_bytes())

    def refuse(self, run: str, error: CodedError) -> CodedError:
        """Note that a batch was refused, so that it is not counted; returns the error."""
        self._state.keep(self._refused.of(run), error.code)
        return error

    def delete(self) -> None:
        families: tuple[Item[Any], ...] = (self._entries, self._refused)
        for one in [one for family in families for one in self._state.all(family)]:
            self._state.delete(one)

    def _all(self) -> list[Asked]:
        return [Asked.from_bytes(self._state[one]) for one in self._state.all(self._entries)]


def books(keeping: Keeping, series: str | None = None) -> Iterator[Book]:
    """All books, or those of one series."""
    families: list[Item[Any]] = [one if series is None else one.of(series) for one in (ENTRIES, REFUSED)]
    for of, epoch in sorted({one.key[:2] for family in families for one in keeping.state.all(family)}):
        yield Book(keeping, of, epoch)
