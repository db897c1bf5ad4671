"""What the record tells of each run, for people: events, artifacts by peer and message, the block, and what was found wrong."""

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
    remedy = "`tombolo audit show` without a run lists all of them."


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
    """One run: its entries other than artifacts in the order of recording, and sums over its artifacts.

    ``traffic`` is by book (``sent``, ``received``), peer and message; ``evidence`` says of parties proven to be two-faced in what
    their two statements differ.
    """

    run: str
    events: list[dict[str, Any]] = field(default_factory=list)
    traffic: dict[tuple[str, str, str], Traffic] = field(default_factory=dict)
    block: Mapping[str, Any] | None = None
    signers: list[str] = field(default_factory=list)
    evidence: dict[str, str] = field(default_factory=dict)

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """The runs of one kind, in order."""
        return [event for event in self.events if event["kind"] == kind]

    @property
    def kind(self) -> str:
        """``train``, ``predict``, ``monitor``, ``score``, or empty for what was recorded of no run."""
        return next((str(event["subject"]) for event in self.of_kind("run")), "")

    @property
    def began(self) -> str:
        return next((str(event["at"]) for event in self.events), "")

    @property
    def metrics(self) -> dict[str, float]:
        return next((dict(event["body"]["metrics"]) for event in self.of_kind("metrics")), {})

    @property
    def state(self) -> str:
        """How it ended, if it has."""
        if self.block is not None:
            return f"settled in block {self.block['height']}"
        if self.kind in ALONE:
            return "this party's own"
        if self.of_kind("absence"):
            return "goes on without this party"
        aborts = self.of_kind("abort")
        return f"aborted ({aborts[0]['body']['code']})" if aborts else "not settled"

    def total(self, book: str, peer: str | None = None) -> Traffic:
        """Sum over a book, or over what went to or came from one peer."""
        parts = (part for (which, party, _), part in self.traffic.items() if which == book and peer in (None, party))
        return sum(parts, Traffic())


def histories(source: AuditSource) -> tuple[dict[str, History], list[str]]:
    """All runs in the order in which they began, and the keys of what could not be read (the audit says why)."""
    found: dict[str, History] = {}
    unread: list[str] = []
    name = source.agreement.name
    for key in source.names(f"ledger/{name}/segments/"):
        try:
            for entry in parsed(source.segment(key).lines):
                _add(found.setdefault(entry["run"], History(entry["run"])), entry)
        except (CodedError, LookupError, TypeError, ValueError):
            unread.append(key)
    for key in source.names(f"ledger/{name}/blocks/"):
        try:
            kept = read_document(source, key)
            history = found.setdefault(kept["block"]["run"], History(kept["block"]["run"]))
            history.block, history.signers = kept["block"], sorted(vote["party"] for vote in kept["certificate"])
        except (CodedError, LookupError, TypeError, ValueError):
            unread.append(key)
    for key, run, (party,) in objects_of(source, EVIDENCE):
        try:
            found.setdefault(run, History(run)).evidence[party] = _two_faces(read_document(source, key))
        except (CodedError, LookupError, TypeError, ValueError):
            unread.append(key)
    return found, unread


def history(source: AuditSource, run: str) -> tuple[History, list[str]]:
    """One run, and the keys of what could not be read; raises :class:`NoSuchRun`."""
    found, unread = histories(source)
    if run not in found:
        raise NoSuchRun(f"Run {run}.", party=source.party)
    return found[run], unread


def _add(history: History, entry: dict[str, Any]) -> None:
    if entry["kind"] not in ("sent", "received"):
        history.events.append(entry)
        return
    body = entry["body"]
    place, one = (entry["kind"], body["peer"], body["message"]), Traffic(1, body["size"], body["rows"], frozenset(body["kinds"]))
    history.traffic[place] = history.traffic.get(place, Traffic()) + one


def _two_faces(proof: list[Any]) -> str:
    """In what two signed statements differ."""
    one, other = (Signed.from_json(statement).document for statement in proof)
    differing = [name for name in one if one[name] != other.get(name)]
    return "; ".join(f"{name} {plainly(one[name])} and {plainly(other.get(name))}" for name in differing)


def shares(block: Mapping[str, Any]) -> list[tuple[str, dict[str, float], str]]:
    """Per party its contribution by each measure and what it is paid, as the block has them; empty where nothing is."""
    measured, paid = block["facts"].get("contributions") or {}, block["facts"].get("rewards") or {}
    measures = {name: measured[name] for name in ("shapley", "leave_one_out", "volume") if measured.get(name)}
    money, refunds = paid.get("rewards") or {}, paid.get("refunds") or {}
    rows = []
    for party in sorted({*money, *refunds, *(party for values in measures.values() for party in values)}):
        values = {name: float(found[party]) for name, found in measures.items() if party in found}
        cents = money.get(party, 0) + refunds.get(party, 0)
        rows.append((party, values, f"{cents / 100:,.2f} {paid['currency']}" if paid else ""))
    return rows


def chain_of(found: Mapping[str, History]) -> list[tuple[int, str, History]]:
    """Height, hash and run of every block that could be read, lowest first."""
    settled = [one for one in found.values() if one.block is not None]
    return sorted(((one.block["height"], digest(one.block), one) for one in settled if one.block), key=lambda row: row[0])


def plainly(value: Any) -> str:
    """An entry's fact in words: nested ones in one line, long hashes shortened."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {plainly(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(plainly(one) for one in value) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    text = str(value)
    return f"{text[:16]}…" if len(text) == 64 and set(text) <= set("0123456789abcdef") else text
