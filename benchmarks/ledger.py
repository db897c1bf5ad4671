"""Speed of verifying a party's record, compared with only hashing the same bytes, and of verifying its bookings; on one core.

``python -m benchmarks.ledger [--quick] [--entries 1000000] [OUTPUT.json]``. The record is in a directory store, with real
signatures and seals. The limit is the time to hash every opened line once. An audit also opens and hashes the sealed body, hashes
the Merkle tree, and reads every entry.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.memory import lay_out
from tombolo.agreements.settings import PartySettings
from tombolo.fl_tasks.ledger.audit.findings import Audit
from tombolo.fl_tasks.ledger.audit.objects import check_bookings
from tombolo.fl_tasks.ledger.audit.record import Booked, RecordSummary, check_record
from tombolo.fl_tasks.ledger.audit.source import StoreSource
from tombolo.storage.books import Books, Entry
from tombolo.storage.canonical import canonical
from tombolo.storage.ledger import merkle
from tombolo.storage.ledger.chain import DOMAIN, FIRST_PREVIOUS, SEGMENT_ENTRIES, Header, Segment, segment_key
from tombolo.storage.private import PrivateArea

ENTRIES, RUN_ENTRIES, BOOKINGS = 1_000_000, 10_000, 5_000
GOAL_SECONDS = 60.0
_AT = "2026-01-01T00:00:00.000+00:00"


def write_record(source: StoreSource, entries: int) -> None:
    """Write a record of ``entries`` entries, nearly all of them artifacts, in runs of ten thousand."""
    previous = FIRST_PREVIOUS
    for index in range(1, entries // SEGMENT_ENTRIES + 1):
        lines = [_line(number) for number in range((index - 1) * SEGMENT_ENTRIES, index * SEGMENT_ENTRIES)]
        key = segment_key(source.agreement.name, index)
        sealed = source.keys.vault.seal(b"\n".join(lines), key)
        root = merkle.root([merkle.leaf(line) for line in lines]).hex()
        body = hashlib.sha256(sealed).hexdigest()
        header = Header(source.party, source.agreement.name, index, previous, len(lines), root, body, _AT)
        signature = source.keys.signing.sign(DOMAIN, canonical(asdict(header)))
        source.store.put(key, Segment(header, signature, sealed).encode())
        previous = header.digest


def _line(number: int) -> bytes:
    """An entry's canonical line: for plain text and whole numbers, sorted JSON is canonical."""
    run = f"run-{number // RUN_ENTRIES:05d}"
    if number % RUN_ENTRIES == 0:
        body: dict[str, Any] = {"approvers": {}, "initiator": "guest", "manifest": hashlib.sha256(run.encode()).hexdigest()}
        entry = {"at": _AT, "body": body, "kind": "run", "run": run, "subject": "train"}
    else:
        address = f"to-host/memory/{run}/{number % RUN_ENTRIES:06d}/train.2/masked_gradient"
        body = {"address": address, "kinds": ["paillier", "one-time-pad-mod-n"], "message": "masked_gradient", "peer": "host"}
        body |= {"rows": 24, "sha256": hashlib.sha256(address.encode()).hexdigest(), "size": 20_000 + number % 1000}
        entry = {"at": _AT, "body": body, "kind": "sent", "run": run, "subject": f"host/{address}"}
    return json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()


def write_bookings(source: StoreSource, count: int) -> RecordSummary:
    """Book artifacts in a separate run. Returns the summary of a record that has them."""
    area = PrivateArea(source.store, source.keys.vault, source.agreement.name).area("runs", "booked", "books")
    books, record = Books(area), RecordSummary()
    for number in range(count):
        address = f"to-host/memory/booked/{number:06d}/train.2/masked_gradient"
        books.book_sent(Entry("host", address, "masked_gradient", "0" * 64, 1, 1, ("paillier",), _AT))
        record.names.setdefault("booked", {})[f"sent:host/{address}"] = Booked("0" * 64, 1, 1, "paillier")
    return record


def limit(source: StoreSource) -> float:
    """Seconds to hash every opened line once. The bytes are already in memory."""
    total = 0.0
    for key in source.names(f"ledger/{source.agreement.name}/segments/"):
        lines = source.segment(key).lines.split(b"\n")
        total += seconds(lambda lines=lines: [hashlib.sha256(line).digest() for line in lines])
    return total


def seconds(work: Callable[[], Any]) -> float:
    """Wall-clock seconds of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(entries: int) -> dict[str, Any]:
    """Make a record and books, and audit them. Returns the figures."""
    with tempfile.TemporaryDirectory(prefix="tombolo-ledger-") as name:
        folder = Path(name)
        lay_out(folder, 1)
        source = StoreSource.open("memory", PartySettings.load(folder / "guest" / "party.yaml"))
        write_record(source, entries)
        stored = sum(source.store.stat(key).size for key in source.names("ledger/"))
        audit, bare = Audit(), limit(source)
        verify = seconds(lambda: check_record(audit, source))
        record = write_bookings(source, BOOKINGS)
        bookings = seconds(lambda: check_bookings(audit, source, record))
    checked = audit.counts["record"]["entries"], audit.counts["bookings"]["bookings"]
    if audit.findings or checked != (entries, BOOKINGS):
        raise SystemExit(f"the audit checked {checked} entries and bookings, with the findings {audit.findings[:3]}")
    return {
        "entries": entries,
        "bytes": stored,
        "verify_seconds": verify,
        "entries_per_second": entries / verify,
        "sha256_seconds": bare,
        "ratio": verify / bare,
        "million_seconds": verify * 1_000_000 / entries,
        "goal_seconds": GOAL_SECONDS,
        "reached": verify * 1_000_000 / entries < GOAL_SECONDS,
        "bookings_per_second": BOOKINGS / bookings,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def show(found: dict[str, Any], console: Console) -> None:
    """Print the figures."""
    table = Table(title=f"A record of {found['entries']:,} entries, {found['bytes'] / 2**20:.0f} MiB", title_justify="left")
    for column in ("", "seconds", "entries/s"):
        table.add_column(column, justify="left" if not column else "right")
    for name, spent in (("audit of the record", found["verify_seconds"]), ("bare SHA-256 of its lines", found["sha256_seconds"])):
        table.add_row(name, f"{spent:.1f}", f"{found['entries'] / spent:,.0f}")
    table.add_row("audit of bookings, one object each", "", f"{found['bookings_per_second']:,.0f}")
    console.print(table)
    verdict = "reached" if found["reached"] else "missed"
    console.print(
        f"{found['ratio']:.1f} times the time of the hashes alone. A million entries take {found['million_seconds']:.1f} s. "
        f"Goal {GOAL_SECONDS:.0f} s: {verdict}. Peak memory {found['peak_gib']:.2f} GiB."
    )


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("output", nargs="?", type=Path, default=Path(".tombolo/bench/ledger.json"))
    parser.add_argument("--entries", type=int, default=ENTRIES)
    parser.add_argument("--quick", action="store_true", help="a tenth of the entries")
    options = parser.parse_args()
    figures = measure(options.entries // 10 if options.quick else options.entries)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    show(figures, Console())


if __name__ == "__main__":
    main()
