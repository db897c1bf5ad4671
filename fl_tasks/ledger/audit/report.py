"""The audit as one HTML page without scripts, fonts or network access; it works in light and dark mode and in print."""

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
    "agreement": "Terms and amendments follow each other; every required member has signed.",
    "record": "No segment is missing or altered; each is signed and holds exactly the entries that were signed.",
    "blocks": "The members' votes make each block final; it is made from their attestations and follows the block before it.",
    "reconciliation": "The party's books give the summaries that it attested, and every line is in the record.",
    "odometer": "Every release is in its place and signed; the totals are those that the party stated in the blocks.",
    "manifests": "All participants signed the manifest of each run before data was touched.",
    "equivocation": "Each kept proof is valid: a party signed two different statements for one place.",
    "bookings": "The bookings made when artifacts were sent and received are equal to the record.",
    "artifacts": "The artifacts that are still in the store are, byte for byte, those that were booked as sent.",
    "private objects": "No private object has changed since it was sealed.",
}
_MEASURES = {"shapley": "Shapley value", "leave_one_out": "leave-one-out", "volume": "share of data"}


def page(source: AuditSource, audit: Audit, ends: Ends) -> str:
    """The whole report of one party's audit."""
    by_run, unread = histories(source)
    runs, agreement = [run for run in by_run.values() if run.run], source.agreement
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
        chain=chain_of(by_run),
    )


def _rendered(template: str, **facts: Any) -> str:
    """A filled template. It can use the functions that turn numbers, times and entries into text."""
    functions = (books, counted, events, measures, moment, plainly, several, shares, size)
    return render(template, **{function.__name__: function for function in functions}, **facts)


def _tiles(runs: list[History], ends: Ends) -> list[list[str]]:
    """The tiles at the top of the report: a value and what it counts."""
    sent, received = _total(runs, "sent"), _total(runs, "received")
    counts = {"runs": len(runs), "blocks": ends.height, "segments": ends.segment}
    tiles = [several(number, what).split(" ") for what, number in counts.items()]
    return [*tiles, [f"{sent.count:,}", "artifacts sent"], [size(sent.bytes), "sent"], [size(received.bytes), "received"]]


def _total(runs: Iterable[History], book: str, peer: str | None = None) -> Traffic:
    """The sum over a book of all runs; with ``peer``, only over the artifacts to or from this peer."""
    return sum((run.total(book, peer) for run in runs), Traffic())


def events(run: History) -> Iterator[tuple[str, str, str, str]]:
    """Time, kind, subject and facts of the events in the order of recording. A whole training is one line."""
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
    """What a block says about the books that were compared."""
    pairs = [pair for pair in block["pairs"] if "root" in pair]
    odd = sum(pair["unmatched"] for pair in pairs)
    disputed = [" and ".join(pair["parties"]) for pair in block["pairs"] if "root" not in pair]
    told = f"{sum(pair['artifacts'] for pair in pairs):,} artifacts, {size(sum(pair['bytes'] for pair in pairs))}"
    told += f"; {odd} booked differently by sender and receiver" if odd else "; all booked alike by sender and receiver"
    return told + (f"; books not compared: {', '.join(disputed)}" if disputed else "")


def measures(paid: Iterable[tuple[str, Mapping[str, float], str]]) -> dict[str, str]:
    """The titles of the measures of contribution that are in a block, by name."""
    measured = {name for _, values, _ in paid for name in values}
    return {name: title for name, title in _MEASURES.items() if name in measured}


def counted(counts: dict[str, int]) -> str:
    """Counts as text, for example ``1 segment, 1,200 entries``."""
    return ", ".join(size(number) if what == "bytes" else several(number, what) for what, number in counts.items()) or "nothing"


def several(number: int, what: str) -> str:
    """A number with its noun. The noun is given in the plural."""
    singular = what.removesuffix("ies") + "y" if what.endswith("ies") else what.removesuffix("s")
    return f"{number:,} {singular if number == 1 else what}"


def size(number: float) -> str:
    """A number of bytes as text for people, for example ``1.5 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            break
        number /= 1024
    return f"{number:,.0f} {unit}" if unit == "B" else f"{number:,.1f} {unit}"


def moment(at: str) -> str:
    """A time as text, to the second."""
    return at[:19].replace("T", " ")
