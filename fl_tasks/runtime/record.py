"""What a stage adds to the party's permanent record when it ends: its facts, and the artifacts sent and received since before."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.state import FINDINGS
from tombolo.storage.books import booking_name
from tombolo.storage.ledger.chain import Chain
from tombolo.storage.ledger.entries import Entry


def enter(context: PartyContext, run: str, kind: str, subject: str, **facts: Any) -> None:
    """Record one fact of a run, after the artifacts booked so far; repeating it changes nothing."""
    chain = context.chain
    chain.append([*_artifacts(context, chain, run), Entry.now(kind, run, subject, facts)])


def enter_finding(context: PartyContext, run: str, subject: str, code: str, addresses: Sequence[str] = ()) -> None:
    """Record once what is wrong with a peer, by the code of the error. Before the run has begun, it is kept until then."""
    state, name = context.state(run), hashlib.sha256(subject.encode()).hexdigest()[:32]
    state.keep(FINDINGS.of(name), {"subject": subject, "code": code, "addresses": list(addresses)})
    if any(recorded.startswith("run:") for recorded in context.chain.names(run)):
        _enter_findings(context, run)


def enter_run(context: PartyContext, run: str, kind: str, **facts: Any) -> None:
    """Record that a run began; its other entries follow, with what was found before."""
    context.chain.append([Entry.now("run", run, kind, facts)])
    _enter_findings(context, run)


def _enter_findings(context: PartyContext, run: str) -> None:
    state = context.state(run)
    for item in state.all(FINDINGS):
        found = state[item]
        enter(context, run, "finding", found["subject"], code=found["code"], addresses=found["addresses"])


def _artifacts(context: PartyContext, chain: Chain, run: str) -> list[Entry]:
    """Entries of artifacts that are booked but not recorded, by time."""
    recorded, books = chain.names(run), context.books(run)
    entries = []
    for book in ("sent", "received"):
        known = {booking_name(name.removeprefix(f"{book}:")) for name in recorded if name.startswith(f"{book}:")}
        entries += [Entry.of_booking(book, run, booking) for booking in books.entries(book, known)]
    return sorted(entries, key=lambda entry: entry.at)
