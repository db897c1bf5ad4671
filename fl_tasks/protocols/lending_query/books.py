"""The books of questions: one book for each epoch, with one entry for each run, in the order of arrival.

An entry at a lender holds commitments to consents. An entry at the arbiter holds points, which tell people apart within a series.
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
_REFUSALS: dict[str, type[CodedError]] = {
    error.code: error for error in (AskerQuotaSpent, ConsentMissing, CoolingDown, PersonQuotaSpent)
}


@dataclass(frozen=True)
class Asked:
    """A batch of questions: its run, its time of arrival, and 32 bytes for each question."""

    run: str
    at: datetime
    digests: frozenset[bytes]

    @classmethod
    def of(cls, run: str, at: datetime, digests: Iterable[bytes]) -> Asked:
        """An entry with these digests; their order does not matter."""
        return cls(run, at, frozenset(digests))

    def to_bytes(self) -> bytes:
        """The canonical form in which the entry is stored."""
        return canonical({"run": self.run, "at": self.at.isoformat(), "digests": sorted(digest.hex() for digest in self.digests)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Asked:
        """Inverse of :meth:`to_bytes`."""
        document = parse(data, _LARGEST)
        return cls.of(document["run"], datetime.fromisoformat(document["at"]), map(bytes.fromhex, document["digests"]))


class Book:
    """The batches that were asked in one epoch of the series ``series``."""

    def __init__(self, keeping: Keeping, series: str, epoch: str) -> None:
        self.series, self.epoch = series, epoch
        self._state, self._entries, self._refused = keeping.state, ENTRIES.of(series, epoch), REFUSED.of(series, epoch)

    def entries(self) -> list[Asked]:
        """All batches that were not refused."""
        return [entry for entry in self._all() if self._refused.of(entry.run) not in self._state]

    def enter(self, asked: Asked, asker: str) -> list[Asked]:
        """Enter a batch; a second entry of the same run is not counted. Returns the earlier batches that were not refused.

        Raises the error by which this batch was refused, or BadTicket if its run has asked other questions before.
        """
        while True:
            entries = self._all()
            at = next((at for at, entry in enumerate(entries) if entry.run == asked.run), None)
            if at is not None:
                break
            self._state.keep(self._entries.of(len(entries)), asked.to_bytes())
        if entries[at].digests != asked.digests:
            raise BadTicket("The same run has asked other questions before.", party=asker)
        verdict = self._state.get(self._refused.of(asked.run))
        if verdict is not None:
            raise _REFUSALS[verdict](party=asker)
        return [entry for entry in entries[:at] if self._refused.of(entry.run) not in self._state]

    def copy(self, asked: Asked) -> None:
        """Enter a batch that was already counted in an earlier series, unless its run has an entry here."""
        if all(entry.run != asked.run for entry in self._all()):
            self._state.keep(self._entries.of(len(self._all())), asked.to_bytes())

    def refuse(self, run: str, error: CodedError) -> CodedError:
        """Record that a batch was refused, so that it is not counted. Returns the error."""
        self._state.keep(self._refused.of(run), error.code)
        return error

    def delete(self) -> None:
        """Delete all entries and refusals of this epoch."""
        families: tuple[Item[Any], ...] = (self._entries, self._refused)
        for item in [item for family in families for item in self._state.all(family)]:
            self._state.delete(item)

    def _all(self) -> list[Asked]:
        return [Asked.from_bytes(self._state[item]) for item in self._state.all(self._entries)]


def books(keeping: Keeping, series: str | None = None) -> Iterator[Book]:
    """All books, or those of one series."""
    families: list[Item[Any]] = [family if series is None else family.of(series) for family in (ENTRIES, REFUSED)]
    for name, epoch in sorted({item.key[:2] for family in families for item in keeping.state.all(family)}):
        yield Book(keeping, name, epoch)
