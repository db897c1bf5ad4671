"""A party's two books of a run: what it sent and what it received. Entries are never changed and are sealed to the party."""

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
    cause = "An artifact that this party received earlier now has other bytes in the sender's store."
    remedy = "Do not start new runs with the sender before it explains this. Keep your store as it is, for the audit."


@dataclass(frozen=True)
class Entry:
    """One sent or received artifact: ``sha256`` is the hash of its head object, ``size`` its bytes on the wire."""

    peer: str
    address: str
    message: str
    sha256: str
    size: int
    rows: int
    kinds: tuple[str, ...]
    at: str

    def document(self) -> dict[str, Any]:
        """The entry as a JSON document."""
        return {**asdict(self), "kinds": list(self.kinds)}


class Books:
    """The books ``sent/`` and ``received/`` in the run's private area, with one entry per peer and address."""

    def __init__(self, area: PrivateArea) -> None:
        self._area = area

    def book_sent(self, entry: Entry) -> None:
        """Book an artifact that this party sent; booking it again changes nothing."""
        self._area.keep(f"sent/{_name(entry)}", canonical(entry.document()))

    def book_received(self, entry: Entry) -> None:
        """Book a received artifact. Raises :class:`Equivocation` if its address was booked with another hash."""
        kept = parse(self._area.keep(f"received/{_name(entry)}", canonical(entry.document())))
        if kept["sha256"] != entry.sha256:
            raise Equivocation(f"Address {entry.address}.", party=entry.peer)

    def entries(self, book: str, known: Collection[str] = ()) -> list[Entry]:
        """The entries of the book ``sent`` or ``received``, without those named in ``known``, sorted by time."""
        names = [name for name in self._area.names(f"{book}/") if name.removeprefix(f"{book}/") not in known]
        documents = [parse(self._area.get(name) or b"{}") for name in names]
        entries = (Entry(**{**document, "kinds": tuple(document["kinds"])}) for document in documents)
        return sorted(entries, key=lambda entry: entry.at)

    def bytes_to(self) -> dict[str, int]:
        """The bytes that were sent to each peer."""
        totals: dict[str, int] = {}
        for entry in self.entries("sent"):
            totals[entry.peer] = totals.get(entry.peer, 0) + entry.size
        return totals


def booking_name(subject: str) -> str:
    """The name of the entry of ``<peer>/<address>`` in its book."""
    return hashlib.sha256(subject.encode()).hexdigest()


def _name(entry: Entry) -> str:
    return booking_name(f"{entry.peer}/{entry.address}")
