"""A party's own books of a run: what it sent and what it received, each entry create-only and sealed to itself."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from tombolo.storage.canonical import canonical, parse
from tombolo.storage.errors import CodedError
from tombolo.storage.private import PrivateArea


class Equivocation(CodedError):
    code = "TMB-EXCH-002"
    cause = "An address that was received once now holds other bytes."
    remedy = "The sender showed two artifacts for one address; keep both for audit and stop working with it."


@dataclass(frozen=True)
class Entry:
    """One sending or receipt: peer, address, message, SHA-256 of the head object, bytes on the wire, rows, column kinds."""

    peer: str
    address: str
    message: str
    sha256: str
    size: int
    rows: int
    kinds: tuple[str, ...]
    at: str

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {**asdict(self), "kinds": list(self.kinds)}


class Books:
    """Two books under the run's private area: ``sent/`` and ``received/``, one entry per peer and address."""

    def __init__(self, area: PrivateArea) -> None:
        self._area = area

    def book_sent(self, entry: Entry) -> None:
        """Book what this party has sent; repeating it changes nothing."""
        self._area.keep(f"sent/{_name(entry)}", canonical(entry.document()))

    def book_received(self, entry: Entry) -> None:
        """Book a receipt; raises :class:`Equivocation` where the address was booked with another hash."""
        kept = parse(self._area.keep(f"received/{_name(entry)}", canonical(entry.document())))
        if kept["sha256"] != entry.sha256:
            raise Equivocation(f"Address {entry.address}.", party=entry.peer)

    def entries(self, book: str, known: Collection[str] = ()) -> list[Entry]:
        """All entries of the ``sent`` or ``received`` book but those of ``known`` names, by time."""
        names = [name for name in self._area.names(f"{book}/") if name.removeprefix(f"{book}/") not in known]
        found = [parse(self._area.get(name) or b"{}") for name in names]
        return sorted((Entry(**{**one, "kinds": tuple(one["kinds"])}) for one in found), key=lambda entry: entry.at)

    def bytes_to(self) -> dict[str, int]:
        """Bytes sent per peer."""
        totals: dict[str, int] = {}
        for entry in self.entries("sent"):
            totals[entry.peer] = totals.get(entry.peer, 0) + entry.size
        return totals


def booking_name(subject: str) -> str:
    """Name of the booking of ``<peer>/<address>`` in its book."""
    return hashlib.sha256(subject.encode()).hexdigest()


def _name(entry: Entry) -> str:
    return booking_name(f"{entry.peer}/{entry.address}")
