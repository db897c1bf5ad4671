"""What the record says about each run, for people: events, artifacts by peer and message, the block, and findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tombolo.agreements.kinds import ALONE
from tombolo.fl_tasks.ledger.audit.record import parsed
from tombolo.fl_tasks.ledger.audit.source import AuditSource, objects_of, read_document
from tombolo.fl_tasks.ledger.settlement.state import EVIDENCE
from tombolo.storage.canonical import digest
from tombolo.storage.errors import CodedError
from tombolo.storage.ledger.signed import Signed


class NoSuchRun(CodedError):
    code = "TMB-AUDIT-006"
    cause = "The record has no such run."
    remedy = "Run `tombolo audit show` without a run. It lists all runs; choose one of them."


@dataclass(frozen=True)
class Traffic:
    """Artifacts of one message to or from one peer."""

    count: int = 0
    bytes: int = 0
    rows: int = 0
    kinds: frozenset[str] = frozenset()

    def __add__(self, other: Traffic) -> Traffic:
        count, size, rows = self.count + other.count, self.bytes + other.bytes, self.rows + other.rows
        return Traffic(count, size, rows, self.kinds | other.kinds)


@dataclass
class History:
    """One run: its entries other than artifacts, in the order of recording, and sums over its artifacts.

    ``traffic`` is by book (``sent``, ``received``), peer and message. ``evidence`` is by party: it says how two statements differ
    that the party signed for one place.
    """

    run: str
    events: list[dict[str, Any]] = field(default_factory=list)
    traffic: dict[tuple[str, str, str], Traffic] = field(default_factory=dict)
    block: Mapping[str, Any] | None = None
    signers: list[str] = field(default_factory=list)
    evidence: dict[str, str] = field(default_factory=dict)

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind, in order."""
        return [event for event in self.events if event["kind"] == kind]

    @property
    def kind(self) -> str:
        """The kind of the run, such as ``train``, ``predict``, ``monitor`` or ``score``; empty if no run was recorded."""
        return next((str(event["subject"]) for event in self.of_kind("run")), "")

    @property
    def began(self) -> str:
        """The time of the first event, or an empty text."""
        return next((str(event["at"]) for event in self.events), "")

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of the run's model on held-out rows; empty if there are none."""
        return next((dict(event["body"]["metrics"]) for event in self.of_kind("metrics")), {})

    @property
    def state(self) -> str:
        """How the run ended, or that it has not, as text."""
        if self.block is not None:
            return f"settled in block {self.block['height']}"
        if self.kind in ALONE:
            return "this party's own"
        if self.of_kind("absence"):
            return "goes on without this party"
        aborts = self.of_kind("abort")
        return f"aborted ({aborts[0]['body']['code']})" if aborts else "not settled"

    def total(self, book: str, peer: str | None = None) -> Traffic:
        """The sum over a book; with ``peer``, only over the artifacts to or from this peer."""
        parts = (part for (which, party, _), part in self.traffic.items() if which == book and peer in (None, party))
        return sum(parts, Traffic())


def histories(source: AuditSource) -> tuple[dict[str, History], list[str]]:
    """All runs in the order in which they began, and the keys of objects that could not be read (the audit says why)."""
    by_run: dict[str, History] = {}
    unread: list[str] = []
    name = source.agreement.name
    for key in source.names(f"ledger/{name}/segments/"):
        try:
            for entry in parsed(source.segment(key).lines):
                _add(by_run.setdefault(entry["run"], History(entry["run"])), entry)
        except (CodedError, LookupError, TypeError, ValueError):
            unread.append(key)
    for key in source.names(f"ledger/{name}/blocks/"):
        try:
            kept = read_document(source, key)
            history = by_run.setdefault(kept["block"]["run"], History(kept["block"]["run"]))
            history.block, history.signers = kept["block"], sorted(vote["party"] for vote in kept["certificate"])
        except (CodedError, LookupError, TypeError, ValueError):
            unread.append(key)
    for key, run, (party,) in objects_of(source, EVIDENCE):
        try:
            by_run.setdefault(run, History(run)).evidence[party] = _two_faces(read_document(source, key))
        except (CodedError, LookupError, TypeError, ValueError):
            unread.append(key)
    return by_run, unread


def history(source: AuditSource, run: str) -> tuple[History, list[str]]:
    """One run, and the keys of objects that could not be read; raises :class:`NoSuchRun`."""
    by_run, unread = histories(source)
    if run not in by_run:
        raise NoSuchRun(f"Run {run}.", party=source.party)
    return by_run[run], unread


def _add(history: History, entry: dict[str, Any]) -> None:
    if entry["kind"] not in ("sent", "received"):
        history.events.append(entry)
        return
    body = entry["body"]
    place = (entry["kind"], body["peer"], body["message"])
    artifact = Traffic(1, body["size"], body["rows"], frozenset(body["kinds"]))
    history.traffic[place] = history.traffic.get(place, Traffic()) + artifact


def _two_faces(proof: list[Any]) -> str:
    """How two signed statements differ, as text."""
    first, second = (Signed.from_json(statement).document for statement in proof)
    differing = [name for name in first if first[name] != second.get(name)]
    return "; ".join(f"{name} {plainly(first[name])} and {plainly(second.get(name))}" for name in differing)


def shares(block: Mapping[str, Any]) -> list[tuple[str, dict[str, float], str]]:
    """For each party its contribution by each measure and its payment, from the block; empty if the block has none."""
    measured, paid = block["facts"].get("contributions") or {}, block["facts"].get("rewards") or {}
    measures = {name: measured[name] for name in ("shapley", "leave_one_out", "volume") if measured.get(name)}
    money, refunds = paid.get("rewards") or {}, paid.get("refunds") or {}
    rows = []
    for party in sorted({*money, *refunds, *(party for values in measures.values() for party in values)}):
        values = {name: float(by_party[party]) for name, by_party in measures.items() if party in by_party}
        cents = money.get(party, 0) + refunds.get(party, 0)
        rows.append((party, values, f"{cents / 100:,.2f} {paid['currency']}" if paid else ""))
    return rows


def chain_of(found: Mapping[str, History]) -> list[tuple[int, str, History]]:
    """Height, hash and run of every block that could be read, lowest first. ``found`` has the runs by name."""
    settled = [(run.block, run) for run in found.values() if run.block]
    return sorted(((block["height"], digest(block), run) for block, run in settled), key=lambda row: row[0])


def plainly(value: Any) -> str:
    """A fact of an entry as text: nested facts are in one line, and long hashes are shortened."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {plainly(nested)}" for name, nested in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(plainly(nested) for nested in value) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    text = str(value)
    return f"{text[:16]}…" if len(text) == 64 and set(text) <= set("0123456789abcdef") else text
