"""One line of a party's record: an event of a run, as canonical JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from tombolo.storage.books import Entry as Booking
from tombolo.storage.canonical import canonical
from tombolo.storage.errors import CodedError

KINDS = (
    "agreement",
    "run",
    "absence",
    "validation",
    "alignment",
    "sent",
    "received",
    "rounds",
    "metrics",
    "contributions",
    "publication",
    "prediction",
    "monitoring",
    "abort",
    "finding",
    "settlement",
    "erasure",
    "index",
    "query",
    "release",
)
"""The kinds of entries. The subject of ``sent`` and ``received`` is ``<peer>/<address>``; other kinds have other subjects."""


class BadEntry(CodedError):
    code = "TMB-LEDGER-002"
    cause = "A line of the record is not a valid entry."
    remedy = "Restore the store from a backup. `tombolo audit verify` names all objects that are wrong."


@dataclass(frozen=True)
class Entry:
    """An event of a run; ``run`` is empty for events of the agreement. Its name occurs once per run in a party's record."""

    kind: str
    run: str
    subject: str
    body: dict[str, Any] = field(default_factory=dict)
    at: str = ""

    @classmethod
    def now(cls, kind: str, run: str, subject: str, body: dict[str, Any]) -> Entry:
        """An entry with the present time."""
        if kind not in KINDS:
            raise ValueError(kind)
        return cls(kind, run, subject, body, datetime.now(UTC).isoformat(timespec="milliseconds"))

    @classmethod
    def of_booking(cls, book: str, run: str, booking: Booking) -> Entry:
        """The entry of an artifact that was sent or received."""
        body = {name: value for name, value in booking.document().items() if name != "at"}
        return cls(book, run, f"{booking.peer}/{booking.address}", body, booking.at)

    @property
    def name(self) -> str:
        """The name of the entry; it is unique in its run."""
        return f"{self.kind}:{self.subject}"

    def line(self) -> bytes:
        """The canonical bytes of the entry; they have no line break."""
        return canonical(asdict(self))

    @classmethod
    def read(cls, line: bytes) -> Entry:
        """Inverse of :meth:`line`. The line must already be compared with the signed root. Raises :class:`BadEntry`."""
        try:
            entry = cls(**json.loads(line))
        except (ValueError, TypeError, RecursionError):
            raise BadEntry() from None
        texts = (entry.kind, entry.run, entry.subject, entry.at)
        if not all(isinstance(text, str) for text in texts) or entry.kind not in KINDS or not isinstance(entry.body, dict):
            raise BadEntry()
        return entry
