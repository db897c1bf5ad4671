"""What left the house and what came in: every artifact of a run as it was booked, why it is safe, if it is unchanged."""

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
    from tombolo.storage.stores.base import Store

PAGE = 25
_HASH_AT_MOST = 1 << 27
VERIFIED, DIFFERS, ERASED, MISSING, UNREACHABLE, LARGE = "verified", "differs", "erased", "missing", "unreachable", "large"


@dataclass(frozen=True)
class Artifact:
    """One booked sending or receipt. ``book`` is ``sent`` or ``received``; sizes are bytes on the wire."""

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
        body = entry.body
        fields = body["peer"], body["address"], body["sha256"], body["size"], body["rows"]
        return cls(entry.kind, *fields, tuple(body["kinds"]), entry.at)

    @property
    def _parts(self) -> list[str]:
        """Recipient, agreement, run, round, step and message."""
        return self.address.split("/", 5)

    @property
    def round(self) -> int:
        """The round that it belongs to."""
        return int(self._parts[3])

    @property
    def step(self) -> str:
        """Stage and step, such as ``train.3``."""
        return self._parts[4]

    @property
    def stage(self) -> str:
        """The stage that it belongs to."""
        return self.step.partition(".")[0]

    @property
    def message(self) -> str:
        """The name of its message."""
        return self._parts[5]


@dataclass(frozen=True)
class Meaning:
    """What is declared of a message: its columns with their protections, why those that can be read may be, what is learnt
    from it, and what limits that."""

    columns: tuple[tuple[str, str], ...]
    reasons: tuple[str, ...]
    learns: str
    limit: str


@dataclass(frozen=True)
class Shown:
    """An artifact with its meaning and the state of its bytes."""

    artifact: Artifact
    meaning: Meaning | None
    hash: str


@dataclass(frozen=True)
class Filter:
    """Which artifacts are asked for; empty fields ask for all."""

    book: str = "sent"
    peer: str = ""
    message: str = ""
    page: int = 1

    def takes(self, one: Artifact) -> bool:
        """Whether an artifact passes."""
        return one.book == self.book and self.peer in ("", one.peer) and self.message in ("", one.message)


@dataclass(frozen=True)
class Listing:
    """One page of the artifacts that pass a filter, and what the filter can be set to."""

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
    """All artifacts of a run, recorded or only booked so far, by time."""
    from tombolo.storage.books import booking_name
    from tombolo.storage.ledger.entries import Entry

    recorded, books, found = record.artifacts(context, run), context.books(run), []
    for book in ("sent", "received"):
        own = [entry for entry in recorded if entry.kind == book]
        known = {booking_name(entry.subject) for entry in own}
        found += own + [Entry.of_booking(book, run, one) for one in books.entries(book, known)]
    return sorted((Artifact.of(entry) for entry in found), key=lambda one: one.at)


def totals(context: PartyContext, artifacts: list[Artifact]) -> list[Totals]:
    """Per peer, in the agreement's order; peers that have left since come last."""
    counts, sizes = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for one in artifacts:
        counts[one.peer, one.book] += 1
        sizes[one.peer, one.book] += one.size
    peers = dict.fromkeys([*(name for name in context.roles if name != context.me), *sorted({peer for peer, _ in counts})])
    both = [(peer, (peer, "sent"), (peer, "received")) for peer in peers]
    return [Totals(peer, counts[out], sizes[out], counts[into], sizes[into]) for peer, out, into in both]


def listing(context: PartyContext, run: str, artifacts: list[Artifact], wanted: Filter) -> Listing:
    """One page of artifacts, each with its declared meaning and its bytes hashed again."""
    book = [one for one in artifacts if one.book == wanted.book]
    found = [one for one in book if wanted.takes(one)]
    pages = max(1, -(-len(found) // PAGE))
    page = min(max(1, wanted.page), pages)
    some = found[(page - 1) * PAGE : page * PAGE]
    return Listing(
        filter=wanted,
        shown=tuple(_shown(context, run, some)),
        count=len(found),
        size=sum(one.size for one in found),
        page=page,
        pages=pages,
        first=(page - 1) * PAGE + 1,
        peers=tuple(sorted({one.peer for one in book})),
        messages=tuple(sorted({one.message for one in book})),
    )


def _shown(context: PartyContext, run: str, artifacts: list[Artifact]) -> Iterator[Shown]:
    from tombolo.fl_tasks.workflow.retain import erased

    left, gone, silent = _HASH_AT_MOST, erased(context, run) is not None, set[str]()
    for one in artifacts:
        left -= one.size
        owner = context.me if one.book == "sent" else one.peer
        state = UNREACHABLE if owner in silent else LARGE if left < 0 else hash_state(context, one, gone)
        if state == UNREACHABLE:  # the next one would wait as long for the same store
            silent.add(owner)
        yield Shown(one, meaning(context.terms.task, one.message), state)


def hash_state(context: PartyContext, one: Artifact, erased: bool) -> str:
    """Compare the stored object with what was booked; chunks are compared with the hashes in the signed head."""
    store = context.store if one.book == "sent" else context.peers.get(one.peer)
    if store is None:
        return UNREACHABLE
    try:
        head = store.get(f"{one.address}/head")
        if hashlib.sha256(head).hexdigest() != one.sha256:
            return DIFFERS
        return VERIFIED if all(_chunks_match(context, one, store, head)) else DIFFERS
    except KeyMissing:
        return ERASED if erased or (one.book == "received" and context.terms.retention is not None) else MISSING
    except (StoreUnreachable, StoreRefused):
        return UNREACHABLE
    except CodedError:
        return DIFFERS


def _chunks_match(context: PartyContext, one: Artifact, store: Store, head: bytes) -> Iterator[bool]:
    from tombolo.plugins.console.facts.record import by_any, keys_of
    from tombolo.storage.envelope import read_head

    sender = context.me if one.book == "sent" else one.peer
    header, _ = by_any(keys_of(context, sender), lambda key: read_head(head, key))
    for index, (sha256, _) in enumerate(header.chunks if len(header.chunks) > 1 else (), start=1):
        yield hashlib.sha256(store.get(f"{one.address}/{index:06d}")).hexdigest() == sha256


def meaning(task: TaskTerms, message: str) -> Meaning | None:
    """What the agreement's protocol and stages declare of a message; None for a message of another version."""
    from tombolo.fl_tasks.workflow.messages import declared

    found = declared(task, message)
    if found is None:
        return None
    reasons = dict.fromkeys(column.params["reason"] for column in found.columns.values() if column.open)
    columns = tuple((name, column.kind) for name, column in found.columns.items())
    return Meaning(columns, tuple(reasons), found.learns, found.limit)
