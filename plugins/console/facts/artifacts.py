"""The sent and received artifacts of a run: as they were booked, why they are safe, and whether they are unchanged."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tombolo.storage.errors import CodedError
from tombolo.storage.stores.base import KeyMissing, StoreRefused, StoreUnreachable

if TYPE_CHECKING:
    from tombolo.agreements.task import TaskTerms
    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.plugins.console.facts.record import RecordIndex
    from tombolo.storage.ledger.entries import Entry
    from tombolo.storage.stores.base import Readable

PAGE = 25
_HASH_AT_MOST = 1 << 27
VERIFIED, DIFFERS, ERASED, MISSING, UNREACHABLE, LARGE = "verified", "differs", "erased", "missing", "unreachable", "large"


@dataclass(frozen=True)
class Artifact:
    """One booked artifact. ``book`` is ``sent`` or ``received``; ``size`` is bytes on the wire."""

    book: str
    peer: str
    address: str
    sha256: str
    size: int
    rows: int
    kinds: tuple[str, ...]
    at: str

    @classmethod
    def of(cls, entry: Entry) -> Artifact:
        """The artifact of an entry of the record."""
        body = entry.body
        fields = body["peer"], body["address"], body["sha256"], body["size"], body["rows"]
        return cls(entry.kind, *fields, tuple(body["kinds"]), entry.at)

    @property
    def _parts(self) -> list[str]:
        """Recipient, agreement, run, round, step and message."""
        return self.address.split("/", 5)

    @property
    def round(self) -> int:
        """The round of the artifact."""
        return int(self._parts[3])

    @property
    def step(self) -> str:
        """Stage and step, such as ``train.3``."""
        return self._parts[4]

    @property
    def stage(self) -> str:
        """The stage of the artifact."""
        return self.step.partition(".")[0]

    @property
    def message(self) -> str:
        """The name of its message."""
        return self._parts[5]


@dataclass(frozen=True)
class Meaning:
    """What the protocol declares about a message: its columns with their protections, the reasons for readable columns, what the
    recipient learns, and what limits it."""

    columns: tuple[tuple[str, str], ...]
    reasons: tuple[str, ...]
    learns: str
    limit: str


@dataclass(frozen=True)
class Shown:
    """An artifact with its meaning. ``hash`` says whether the stored bytes are unchanged."""

    artifact: Artifact
    meaning: Meaning | None
    hash: str


@dataclass(frozen=True)
class Filter:
    """Which artifacts to show. An empty field means all."""

    book: str = "sent"
    peer: str = ""
    message: str = ""
    page: int = 1

    def takes(self, artifact: Artifact) -> bool:
        """Whether an artifact passes the filter."""
        return artifact.book == self.book and self.peer in ("", artifact.peer) and self.message in ("", artifact.message)


@dataclass(frozen=True)
class Listing:
    """One page of the artifacts that pass a filter, and the choices of the filter."""

    filter: Filter
    shown: tuple[Shown, ...]
    count: int
    size: int
    page: int
    pages: int
    first: int
    peers: tuple[str, ...]
    messages: tuple[str, ...]


@dataclass(frozen=True)
class Totals:
    """Artifacts and bytes exchanged with one peer."""

    peer: str
    sent: int
    sent_bytes: int
    received: int
    received_bytes: int


def traffic(context: PartyContext, record: RecordIndex, run: str) -> list[Artifact]:
    """All artifacts of a run, in the record or only in the books, sorted by time."""
    from tombolo.storage.books import booking_name
    from tombolo.storage.ledger.entries import Entry

    recorded, books, entries = record.artifacts(context, run), context.books(run), []
    for book in ("sent", "received"):
        own = [entry for entry in recorded if entry.kind == book]
        known = {booking_name(entry.subject) for entry in own}
        entries += own + [Entry.of_booking(book, run, booking) for booking in books.entries(book, known)]
    return sorted((Artifact.of(entry) for entry in entries), key=lambda artifact: artifact.at)


def totals(context: PartyContext, artifacts: list[Artifact]) -> list[Totals]:
    """The totals of each peer, in the order of the agreement. Peers that have left the agreement come last."""
    counts, sizes = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for artifact in artifacts:
        counts[artifact.peer, artifact.book] += 1
        sizes[artifact.peer, artifact.book] += artifact.size
    peers = dict.fromkeys([*(name for name in context.roles if name != context.me), *sorted({peer for peer, _ in counts})])
    both = [(peer, (peer, "sent"), (peer, "received")) for peer in peers]
    return [Totals(peer, counts[out], sizes[out], counts[into], sizes[into]) for peer, out, into in both]


def listing(context: PartyContext, run: str, artifacts: list[Artifact], wanted: Filter) -> Listing:
    """One page of artifacts, each with its declared meaning. Their stored bytes are hashed again."""
    book = [artifact for artifact in artifacts if artifact.book == wanted.book]
    passing = [artifact for artifact in book if wanted.takes(artifact)]
    pages = max(1, -(-len(passing) // PAGE))
    page = min(max(1, wanted.page), pages)
    on_page = passing[(page - 1) * PAGE : page * PAGE]
    return Listing(
        filter=wanted,
        shown=tuple(_shown(context, run, on_page)),
        count=len(passing),
        size=sum(artifact.size for artifact in passing),
        page=page,
        pages=pages,
        first=(page - 1) * PAGE + 1,
        peers=tuple(sorted({artifact.peer for artifact in book})),
        messages=tuple(sorted({artifact.message for artifact in book})),
    )


def _shown(context: PartyContext, run: str, artifacts: list[Artifact]) -> Iterator[Shown]:
    from tombolo.fl_tasks.workflow.retain import erased

    left, gone, unreachable = _HASH_AT_MOST, erased(context, run) is not None, set[str]()
    for artifact in artifacts:
        left -= artifact.size
        owner = context.me if artifact.book == "sent" else artifact.peer
        state = UNREACHABLE if owner in unreachable else LARGE if left < 0 else hash_state(context, artifact, gone)
        if state == UNREACHABLE:  # do not wait again for the same store
            unreachable.add(owner)
        yield Shown(artifact, meaning(context.terms.task, artifact.message), state)


def hash_state(context: PartyContext, artifact: Artifact, erased: bool) -> str:
    """Compare the stored head object with the booked hash, and the chunks with the hashes in the signed head.

    No more bytes are read than were booked.
    """
    store = context.store if artifact.book == "sent" else context.peers.get(artifact.peer)
    if store is None:
        return UNREACHABLE
    try:
        head = store.get(f"{artifact.address}/head", artifact.size)
        if hashlib.sha256(head).hexdigest() != artifact.sha256:
            return DIFFERS
        return VERIFIED if all(_chunks_match(context, artifact, store, head)) else DIFFERS
    except KeyMissing:
        return ERASED if erased or (artifact.book == "received" and context.terms.retention is not None) else MISSING
    except (StoreUnreachable, StoreRefused):
        return UNREACHABLE
    except CodedError:
        return DIFFERS


def _chunks_match(context: PartyContext, artifact: Artifact, store: Readable, head: bytes) -> Iterator[bool]:
    from tombolo.plugins.console.facts.record import by_any, keys_of
    from tombolo.storage.envelope import read_head

    sender = context.me if artifact.book == "sent" else artifact.peer
    header, _ = by_any(keys_of(context, sender), lambda key: read_head(head, key))
    for index, (sha256, _) in enumerate(header.chunks if len(header.chunks) > 1 else (), start=1):
        yield hashlib.sha256(store.get(f"{artifact.address}/{index:06d}", artifact.size)).hexdigest() == sha256


def meaning(task: TaskTerms, message: str) -> Meaning | None:
    """What the protocol and the stages declare about a message; None if this version does not have the message."""
    from tombolo.fl_tasks.workflow.messages import declared

    declaration = declared(task, message)
    if declaration is None:
        return None
    reasons = dict.fromkeys(column.reason for column in declaration.columns.values() if column.open)
    columns = tuple((name, column.kind) for name, column in declaration.columns.items())
    return Meaning(columns, tuple(reasons), declaration.learns, declaration.limit)
