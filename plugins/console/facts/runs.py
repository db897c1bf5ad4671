"""Runs: which there are, and how far every party is, as far as this party's books and record tell."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tombolo.agreements.kinds import JOINT, KINDS
from tombolo.plugins.console.facts.artifacts import Artifact, traffic
from tombolo.storage.errors import CodedError

if TYPE_CHECKING:
    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.plugins.console.facts.record import Record, RunRecord

PAGE = 10
_ENDED_BY = {
    "join": "run",
    "validate": "validation",
    "align": "alignment",
    "evaluate": "metrics",
    "predict": "prediction",
    "index": "index",
    "query": "query",
    "publish": "publication",
    "settle": "settlement",
}
_DOING = {
    "join": "joining",
    "validate": "validating",
    "align": "aligning",
    "train": "training",
    "evaluate": "evaluating",
    "predict": "predicting",
    "index": "building the index",
    "query": "asking",
    "publish": "publishing",
    "settle": "settling",
}
_HANDSHAKE = ("invite", "join", "sign", "pair", "common")
_CODE = re.compile(r"TMB-[A-Z]+-[0-9]{3}")
_LOOK_AGAIN = 10.0


@dataclass(frozen=True)
class PartyStatus:
    """How far a party is: ``state`` is one of invited, joined, working, settled, late, skipped, aborted, expired."""

    party: str
    role: str
    me: bool
    state: str
    text: str
    code: str = ""


@dataclass(frozen=True)
class Run:
    """A row of the runs' table. ``state`` is one of invited, expired, running, aborted, settled."""

    run: str
    kind: str
    at: str
    state: str
    parties: tuple[PartyStatus, ...]
    height: int | None
    metrics: dict[str, float]


@dataclass(frozen=True)
class Runs:
    """A page of runs, newest first."""

    rows: tuple[Run, ...]
    count: int
    page: int
    pages: int


@dataclass(frozen=True)
class Invited:
    """Runs that were proposed and that this party has not begun, with the time of the proposal."""

    runs: dict[str, datetime]
    error: CodedError | None = None


def runs(context: PartyContext, record: Record, page: int = 1) -> tuple[Runs, CodedError | None]:
    """One page of the agreement's training and prediction runs, and why there may be more (invitations cannot be read)."""
    invited = invitations(context, record)
    begun = {one.run: one.at for one in record.runs.values() if one.run and one.kind in JOINT}
    times = {**{run: at.isoformat() for run, at in invited.runs.items()}, **begun}
    order = sorted(times, key=lambda run: (times[run], run), reverse=True)
    pages = max(1, -(-len(order) // PAGE))
    page = min(max(1, page), pages)
    rows = [run_row(context, record, run, times[run]) for run in order[(page - 1) * PAGE : page * PAGE]]
    return Runs(tuple(rows), len(order), page, pages), invited.error


def run_row(context: PartyContext, record: Record, run: str, at: str) -> Run:
    from tombolo.plugins.console.facts.record import RunRecord

    noted = record.runs.get(run, RunRecord(run))
    settled, ended = noted.last("settlement"), noted.last("abort")
    artifacts = [] if settled else traffic(context, record, run)
    parties = tuple(statuses(context, noted, artifacts, at))
    own = next(one.state for one in parties if one.me)
    state = "settled" if settled else "aborted" if ended else own if own in ("invited", "expired", "skipped") else "running"
    measured = noted.last("metrics")
    return Run(
        run=run,
        kind=noted.kind,
        at=at,
        state=state,
        parties=parties,
        height=int(settled.subject) if settled else None,
        metrics=measured.body["metrics"] if measured else {},
    )


def statuses(context: PartyContext, noted: RunRecord, artifacts: list[Artifact], at: str) -> list[PartyStatus]:
    """Every party's status. Of peers it is what was heard last; a party waits for others and is then silent."""
    settled, expired = noted.last("settlement"), _expired(context, noted, at)
    found = []
    for party, role in context.roles.items():
        me = party == context.me
        signed = settled is not None and party in settled.body["signers"]
        if signed:
            state, text, code = "settled", "signed the block", ""
        elif _skipped(context, noted, party, me):
            state, text, code = "skipped", "took no part", ""
        elif settled is not None:
            state, text, code = "late", "not among the block's signers", ""
        else:
            state, text, code = _own(noted) if me else _heard(context, noted, artifacts, party)
            if expired and state in ("invited", "joined", "working"):
                state, text = "expired", f"{text}; the run's time is over"
        found.append(PartyStatus(party, role, me, state, text, code))
    return found


def _skipped(context: PartyContext, noted: RunRecord, party: str, me: bool) -> bool:
    """Whether a run goes on without a party: this one as it was told, another as the manifest has it."""
    begun = noted.last("run")
    if noted.last("absence") is not None:
        return me
    came = () if begun is None else (*begun.body["approvers"], *(late.party for late in context.admitted(noted.run)))
    return begun is not None and party not in came


def current_stage(noted: RunRecord) -> str:
    """The stage that this party is in: the one after the last that its record has the end of; not all enter every end."""
    names = KINDS[noted.kind].stages if noted.kind in JOINT else ("settle",)
    ended = [index for index, stage in enumerate(names) if _ended(noted, stage)]
    return names[min(max(ended, default=-1) + 1, len(names) - 1)]


def _ended(noted: RunRecord, stage: str) -> bool:
    if stage == "train":
        rounds = noted.last("rounds")
        return rounds is not None and bool(rounds.body["finished"])
    return noted.last(_ENDED_BY[stage]) is not None


def _own(noted: RunRecord) -> tuple[str, str, str]:
    ended = noted.last("abort")
    if ended is not None:
        return "aborted", f"aborted in {ended.body['step'] or 'a task'}", ended.body["code"]
    if noted.last("run") is None:
        return "invited", "invited", ""
    stage, rounds = current_stage(noted), noted.last("rounds")
    return "working", f"{_DOING[stage]}, {rounds.body['round']} rounds done" if stage == "train" and rounds else _DOING[stage], ""


def _heard(context: PartyContext, noted: RunRecord, artifacts: list[Artifact], party: str) -> tuple[str, str, str]:
    heard = [one for one in artifacts if one.book == "received" and one.peer == party]
    if any(one.message == "abort" for one in heard):
        return "aborted", "aborted", abort_code(context, noted.run, party)
    working = [one for one in heard if one.stage not in _HANDSHAKE]
    if working:
        stage, round = working[-1].stage, max(one.round for one in working if one.stage == working[-1].stage)
        return "working", f"{_DOING.get(stage, stage)}{f', round {round}' if stage == 'train' and round else ''}", ""
    if noted.last("run") is not None or any(one.message == "join" for one in heard):
        return "joined", "joined", ""
    return "invited", "invited" if not any(one.message == "invitation" for one in heard) else "invited the others", ""


def _expired(context: PartyContext, noted: RunRecord, at: str) -> bool:
    """Whether the run's time is over: as its manifest has it, or as the terms would have it."""
    from tombolo.fl_tasks.workflow.state import INVITATION

    invited = context.state(noted.run).get(INVITATION)
    if invited is not None:
        return datetime.now(UTC) > invited.expires_at
    begun = datetime.fromisoformat(at) if at else datetime.now(UTC)
    return datetime.now(UTC) > begun + timedelta(seconds=context.terms.deadlines.run)


_CODES: dict[tuple[str, str, str], str] = {}


def abort_code(context: PartyContext, run: str, party: str) -> str:
    """The code that a peer's abort gives; empty where it cannot be read any more. Nothing is booked."""
    from tombolo.fl_tasks.runtime.aborts import ABORT

    key = (context.store.url, run, party)
    if key not in _CODES:
        exchange = context.handshake(run)
        exchange.books = _Unbooked()  # type: ignore[assignment]
        try:
            receipt = exchange.fetch(ABORT["abort"], party, 0)
        except CodedError:
            return ""
        code = str(receipt.table.column("code")[0].as_py()) if receipt is not None else ""
        _CODES[key] = code if _CODE.fullmatch(code) else ""
    return _CODES[key]


class _Unbooked:
    """Books of somebody who only looks."""

    def book_received(self, entry: Any) -> None:
        pass


_INVITED: dict[tuple[str, str], tuple[float, Invited]] = {}


def invitations(context: PartyContext, record: Record) -> Invited:
    """Proposed runs that are not in this party's record, from its own store or the initiator's; looked up every few seconds."""
    key = (context.store.url, context.agreement.name)
    known = _INVITED.get(key)
    if known is None or time.monotonic() - known[0] > _LOOK_AGAIN:
        known = _INVITED[key] = (time.monotonic(), _invitations(context, record))
    left = {run: at for run, at in known[1].runs.items() if run not in record.runs}
    return Invited(left, known[1].error)


def _invitations(context: PartyContext, record: Record) -> Invited:
    from tombolo.fl_tasks.workflow.handshake import HANDSHAKE

    initiator = context.initiator
    mine = context.me == initiator
    store, to = (context.store, next(iter(context.peers))) if mine else (context.peers[initiator], context.me)
    before, after = f"to-{to}/{context.agreement.name}/invitations/000000/{HANDSHAKE['invitation'].step}.", "/invitation/head"
    oldest, found = datetime.now(UTC) - timedelta(seconds=context.terms.deadlines.run), {}
    try:
        for key in store.list(before):
            run = key.removeprefix(before).removesuffix(after)
            if key.endswith(after) and run not in record.runs:
                modified = store.stat(key).modified
                if modified > oldest:
                    found[run] = modified
    except CodedError as error:
        return Invited(found, error.at(initiator))
    return Invited(found)
