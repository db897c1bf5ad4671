"""Runs: which there are, and how far every party is, as far as this party's books and record tell."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tombolo.agreements.kinds import JOINT, KINDS
from tombolo.plugins.console.facts.artifacts import Artifact, traffic
from tombolo.storage.errors import CodedError, Failure

if TYPE_CHECKING:
    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.plugins.console.facts.record import RecordIndex, RunRecord

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
    """A row of the runs' table. ``state`` is one of invited, expired, running, aborted, settled; ``failure`` is why it ends."""

    run: str
    kind: str
    at: str
    state: str
    parties: tuple[PartyStatus, ...]
    height: int | None
    metrics: dict[str, float]
    failure: Failure | None


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


def runs(context: PartyContext, record: RecordIndex, page: int = 1) -> tuple[Runs, CodedError | None]:
    """One page of the agreement's training and prediction runs, and why there may be more (invitations cannot be read)."""
    invited = invitations(context, record)
    begun = {one.run: one.at for one in record.runs.values() if one.run and one.kind in JOINT}
    times = {**{run: at.isoformat() for run, at in invited.runs.items()}, **begun}
    order = sorted(times, key=lambda run: (times[run], run), reverse=True)
    pages = max(1, -(-len(order) // PAGE))
    page = min(max(1, page), pages)
    rows = [run_row(context, record, run, times[run]) for run in order[(page - 1) * PAGE : page * PAGE]]
    return Runs(tuple(rows), len(order), page, pages), invited.error


def run_row(context: PartyContext, record: RecordIndex, run: str, at: str) -> Run:
    """What the list of runs shows of one."""
    from tombolo.plugins.console.facts.record import RunRecord

    noted = record.runs.get(run, RunRecord(run))
    settled = noted.last("settlement")
    artifacts = [] if settled else traffic(context, record, run)
    failure = None if settled else _failure(context, noted, artifacts)
    parties = tuple(statuses(context, noted, artifacts, at))
    own = next(one.state for one in parties if one.me)
    ended = "settled" if settled else "aborted" if noted.last("abort") else ""
    measured = noted.last("metrics")
    return Run(
        run=run,
        kind=noted.kind,
        at=at,
        state=ended or (own if own in ("invited", "expired", "skipped") else "running"),
        parties=parties,
        height=int(settled.subject) if settled else None,
        metrics=measured.body["metrics"] if measured else {},
        failure=failure,
    )


def _failure(context: PartyContext, noted: RunRecord, artifacts: list[Artifact]) -> Failure | None:
    """Why the run ends before it is settled: as this party told its peers or, before it has, as it heard from them."""
    own = _own_failure(context.me, noted)
    heard = (_told(context, noted.run, artifacts, peer) for peer in context.needed(noted.run)) if own is None else ()
    return own or min((one for one in heard if one is not None), key=lambda one: one.by != one.party, default=None)


def _own_failure(me: str, noted: RunRecord) -> Failure | None:
    """What this party's record says of its abort; older records name neither origin nor cause."""
    ended = noted.last("abort")
    if ended is None:
        return None
    said = ended.body
    return Failure(said.get("party", me), said["step"] or "", said["code"], said.get("cause", ""), said.get("by", me))


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
            state, text, code = _own(party, noted) if me else _heard(context, noted, artifacts, party)
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


def _own(me: str, noted: RunRecord) -> tuple[str, str, str]:
    failure = _own_failure(me, noted)
    if failure is not None:
        return "aborted", _ending(failure, me), failure.code
    if noted.last("run") is None:
        return "invited", "invited", ""
    stage, rounds = current_stage(noted), noted.last("rounds")
    return "working", f"{_DOING[stage]}, {rounds.body['round']} rounds done" if stage == "train" and rounds else _DOING[stage], ""


def _heard(context: PartyContext, noted: RunRecord, artifacts: list[Artifact], party: str) -> tuple[str, str, str]:
    heard = [one for one in artifacts if one.book == "received" and one.peer == party]
    if any(one.message == "abort" for one in heard):
        failure = _told(context, noted.run, artifacts, party)
        return "aborted", _ending(failure, party) if failure else "aborted", failure.code if failure else ""
    working = [one for one in heard if one.stage not in _HANDSHAKE]
    if working:
        stage, round = working[-1].stage, max(one.round for one in working if one.stage == working[-1].stage)
        return "working", f"{_DOING.get(stage, stage)}{f', round {round}' if stage == 'train' and round else ''}", ""
    if noted.last("run") is not None or any(one.message == "join" for one in heard):
        return "joined", "joined", ""
    return "invited", "invited" if not any(one.message == "invitation" for one in heard) else "invited the others", ""


def _ending(failure: Failure, party: str) -> str:
    """How a run ended at a party that failed, or that stopped since another one failed."""
    failed = f"failed at {failure.step}" if failure.step else "failed"
    if failure.party == party:
        return failed
    said = "" if failure.by == failure.party else "it says that " if failure.by == party else f"{failure.by} says that "
    return f"stopped: {said}{failure.party} {failed}"


def _expired(context: PartyContext, noted: RunRecord, at: str) -> bool:
    """Whether the run's time is over: as its manifest has it, or as the terms would have it."""
    from tombolo.fl_tasks.workflow.state import INVITATION

    invited = context.state(noted.run).get(INVITATION)
    if invited is not None:
        return datetime.now(UTC) > invited.expires_at
    begun = datetime.fromisoformat(at) if at else datetime.now(UTC)
    return datetime.now(UTC) > begun + timedelta(seconds=context.terms.deadlines.run)


_TOLD: dict[tuple[str, str, str], Failure] = {}


def _told(context: PartyContext, run: str, artifacts: list[Artifact], peer: str) -> Failure | None:
    """What a peer's abort says that was heard here; None where none was, or it cannot be read any more. Nothing is booked."""
    from tombolo.fl_tasks.runtime.aborts import read_abort

    if not any((one.book, one.peer, one.message) == ("received", peer, "abort") for one in artifacts):
        return None
    key = (context.store.url, run, peer)
    if key not in _TOLD:
        exchange = context.handshake(run)
        exchange.books = _Unbooked()  # type: ignore[assignment]
        with suppress(CodedError):
            if (said := read_abort(exchange, peer)) is not None:
                _TOLD[key] = said
    return _TOLD.get(key)


class _Unbooked:
    """Books of somebody who only looks."""

    def book_received(self, entry: Any) -> None:
        pass


_INVITED: dict[tuple[str, str], tuple[float, Invited]] = {}


def invitations(context: PartyContext, record: RecordIndex) -> Invited:
    """Proposed runs that are not in this party's record, from its own store or the initiator's; looked up every few seconds."""
    key = (context.store.url, context.agreement.name)
    known = _INVITED.get(key)
    if known is None or time.monotonic() - known[0] > _LOOK_AGAIN:
        known = _INVITED[key] = (time.monotonic(), _invitations(context, record))
    left = {run: at for run, at in known[1].runs.items() if run not in record.runs}
    return Invited(left, known[1].error)


def _invitations(context: PartyContext, record: RecordIndex) -> Invited:
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
