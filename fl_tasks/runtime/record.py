"""What a stage adds to the party's permanent record when it ends: its facts, and the artifacts sent and received since before."""

from __future__ import annotations

from typing import Any

from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.storage.books import booking_name
from tombolo.storage.ledger.chain import Chain
from tombolo.storage.ledger.entries import Entry


def enter(context: PartyContext, run: str, kind: str, subject: str, **facts: Any) -> None:
    """Record one fact of a run, after the artifacts booked so far; repeating it changes nothing."""
    chain = context.chain
    chain.append([*_artifacts(context, chain, run), Entry.now(kind, run, subject, facts)])


def enter_run(context: PartyContext, run: str, kind: str, **facts: Any) -> None:
    """Record that a run began; its other entries follow."""
    context.chain.append([Entry.now("run", run, kind, facts)])


def _artifacts(context: PartyContext, chain: Chain, run: str) -> list[Entry]:
    """Entries of artifacts that are booked but not recorded, by time."""
    recorded, books = chain.names(run), context.books(run)
    entries = []
    for book in ("sent", "received"):
        known = {booking_name(name.removeprefix(f"{book}:")) for name in recorded if name.startswith(f"{book}:")}
        entries += [Entry.of_booking(book, run, booking) for booking in books.entries(book, known)]
    return sorted(entries, key=lambda entry: entry.at)
