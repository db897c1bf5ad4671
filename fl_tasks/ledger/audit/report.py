"""The audit as one HTML page that needs nothing else: no script, no font, no network; light, dark and printable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from tombolo.fl_tasks.ledger.audit.findings import Audit
from tombolo.fl_tasks.ledger.audit.history import History, Traffic, chain_of, histories, plainly, shares
from tombolo.fl_tasks.ledger.audit.source import AuditSource
from tombolo.fl_tasks.ledger.audit.verify import Ends
from tombolo.fl_tasks.pages.charts import cell_bars
from tombolo.fl_tasks.pages.rendering import render

PROVES = {
    "agreement": "Terms and amendments follow each other; everybody who had to has signed.",
    "record": "No segment is missing or altered; each is signed and holds exactly the entries that were signed.",
    "blocks": "Each block is final by the members' votes, made by their attestations, and follows the one before it.",
    "reconciliation": "The party's kept books make the summaries that it attested, and every line is in the record.",
    "manifests": "Each run is the one that all participants signed before data was touched.",
    "equivocation": "Kept proofs that a party signed two different things for one place hold.",
    "bookings": "What was booked at the time of sending and receipt is what the record says.",
    "artifacts": "Artifacts still in the store are, byte for byte, those that were booked as sent.",
    "private objects": "Every private object is as it was sealed.",
}
_MEASURES = {"shapley": "Shapley value", "leave_one_out": "leave-one-out", "volume": "share of data"}


def page(source: AuditSource, audit: Audit, ends: Ends) -> str:
    """The whole report of one party's audit."""
    found, unread = histories(source)
    runs, agreement = [one for one in found.values() if one.run], source.agreement
    peers = sorted({peer for run in runs for _, peer, _ in run.traffic})
    passed = [(book, peer, _total(runs, book, peer)) for book in ("sent", "received") for peer in peers]
    return _rendered(
        "audit.html",
        party=source.party,
        agreement=agreement,
        gone=sorted({name for link in agreement.chain for name in link.members} - set(agreement.members)),
        now=datetime.now(UTC).isoformat(),
        audit=audit,
        proves=PROVES,
        tiles=_tiles(runs, ends),
        runs=runs,
        unread=unread,
        passed=zip(passed, cell_bars([total.bytes for _, _, total in passed]), strict=True),
        chain=chain_of(found),
    )


def _rendered(template: str, **facts: Any) -> str:
    """A template with the words that the report has for numbers, times and entries."""
    words = (books, counted, events, measures, moment, plainly, several, shares, size)
    return render(template, **{one.__name__: one for one in words}, **facts)


def _tiles(runs: list[History], ends: Ends) -> list[list[str]]:
    """What is told at the top: a value and what it counts."""
    sent, received = _total(runs, "sent"), _total(runs, "received")
    counts = {"runs": len(runs), "blocks": ends.height, "segments": ends.segment}
    tiles = [several(number, what).split(" ") for what, number in counts.items()]
    return [*tiles, [f"{sent.count:,}", "artifacts sent"], [size(sent.bytes), "left the house"], [size(received.bytes), "came in"]]


def _total(runs: Iterable[History], book: str, peer: str | None = None) -> Traffic:
    """Sum over a book of all runs, or over what went to or came from one peer."""
    return sum((run.total(book, peer) for run in runs), Traffic())


def events(run: History) -> Iterator[tuple[str, str, str, str]]:
    """Time, kind, subject and facts of the events in the order of recording, a whole training in one line."""
    rounds = run.of_kind("rounds")
    for event in run.events:
        body, subject, told = event["body"], plainly(event["subject"]), plainly(event["body"])
        if event["kind"] == "rounds":
            if event is not rounds[-1]:
                continue
            subject, told = "all", f"{body['round']} rounds, last loss {plainly(body.get('loss'))}"
            if "epsilon" in body:
                told += f", epsilon {body['epsilon']:.4g} at delta {body['delta']:.4g}"
        yield str(event["at"]), str(event["kind"]), subject, told


def books(block: Mapping[str, Any]) -> str:
    """What a block says of the books that were compared."""
    pairs = [pair for pair in block["pairs"] if "root" in pair]
    odd = sum(pair["unmatched"] for pair in pairs)
    disputed = [" and ".join(pair["parties"]) for pair in block["pairs"] if "root" not in pair]
    told = f"{sum(pair['artifacts'] for pair in pairs):,} artifacts, {size(sum(pair['bytes'] for pair in pairs))}"
    told += f"; {odd} not booked alike" if odd else "; all booked alike by sender and receiver"
    return told + (f"; no common books of {', '.join(disputed)}" if disputed else "")


def measures(paid: Iterable[tuple[str, Mapping[str, float], str]]) -> dict[str, str]:
    """Titles of the measures of contribution that a block has, by name."""
    measured = {name for _, values, _ in paid for name in values}
    return {name: title for name, title in _MEASURES.items() if name in measured}


def counted(counts: dict[str, int]) -> str:
    """``1 segment, 1,200 entries``."""
    return ", ".join(size(number) if what == "bytes" else several(number, what) for what, number in counts.items()) or "nothing"


def several(number: int, what: str) -> str:
    """A number with its noun, which is given in the plural."""
    one = what.removesuffix("ies") + "y" if what.endswith("ies") else what.removesuffix("s")
    return f"{number:,} {one if number == 1 else what}"


def size(number: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            break
        number /= 1024
    return f"{number:,.0f} {unit}" if unit == "B" else f"{number:,.1f} {unit}"


def moment(at: str) -> str:
    """A time to the second."""
    return at[:19].replace("T", " ")
