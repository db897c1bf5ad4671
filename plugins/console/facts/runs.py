"""The runs, and the status of every party in them, as far as this party's books and record show."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tombolo.agreements.kinds import JOINT, KINDS
from tombolo.plugins.console.facts.artifacts import Artifact, traffic
from tombolo.storage.errors import CodedError, Failure
from tombolo.storage.stores.base import KeyMissing

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
    """The status of a party: ``state`` is invited, joined, working, settled, late, skipped, aborted or expired."""

    party: str
    role: str
    me: bool
    state: str
    text: str
    code: str = ""


@dataclass(frozen=True)
class Run:
    """A row of the table of runs. ``state`` is invited, expired, skipped, running, aborted or settled; ``failure`` says why."""

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
    """Proposed runs that this party has not begun, with the time of the invitation."""

    runs: dict[str, datetime]
    error: CodedError | None = None


def runs(context: PartyContext, record: RecordIndex, page: int = 1) -> tuple[Runs, CodedError | None]:
    """One page of the agreement's runs, and the error if invitations cannot be read; then runs may be missing."""
    invited = invitations(context, record)
    begun = {noted.run: noted.at for noted in record.runs.values() if noted.run and noted.kind in JOINT}
    times = {**{run: at.isoformat() for run, at in invited.runs.items()}, **begun}
    order = sorted(times, key=lambda run: (times[run], run), reverse=True)
    pages = max(1, -(-len(order) // PAGE))
    page = min(max(1, page), pages)
    rows = [run_row(context, record, run, times[run]) for run in order[(page - 1) * PAGE : page * PAGE]]
    return Runs(tuple(rows), len(order), page, pages), invited.error


def run_row(context: PartyContext, record: RecordIndex, run: str, at: str) -> Run:
    """The row of one run in the table of runs."""
    from tombolo.plugins.console.facts.record import RunRecord

    noted = record.runs.get(run, RunRecord(run))
    settled = noted.last("settlement")
    artifacts = [] if settled else traffic(context, record, run)
    failure = None if settled else _failure(context, noted, artifacts)
    parties = tuple(statuses(context, noted, artifacts, at))
    own = next(status.state for status in parties if status.me)
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
    """Why the run ends before it is settled: this party's own abort; if there is none, an abort of a peer."""
    own = _own_failure(context.me, noted)
    reports = (_reported(context, noted.run, artifacts, peer) for peer in context.needed(noted.run)) if own is None else ()
    failures = (failure for failure in reports if failure is not None)
    return own or min(failures, key=lambda failure: failure.by != failure.party, default=None)


def _own_failure(me: str, noted: RunRecord) -> Failure | None:
    """The abort in this party's record. Older records have neither the party that failed nor the cause."""
    ended = noted.last("abort")
    if ended is None:
        return None
    body = ended.body
    return Failure(body.get("party", me), body["step"] or "", body["code"], body.get("cause", ""), body.get("by", me))


def statuses(context: PartyContext, noted: RunRecord, artifacts: list[Artifact], at: str) -> list[PartyStatus]:
    """The status of every party. For a peer it follows from its last artifact; a peer that waits for others sends nothing."""
    settled, expired = noted.last("settlement"), _expired(context, noted, at)
    parties = []
    for party, role in context.roles.items():
        me = party == context.me
        signed = settled is not None and party in settled.body["signers"]
        if signed:
            state, text, code = "settled", "signed the block", ""
        elif _skipped(context, noted, party, me):
            state, text, code = "skipped", "took no part", ""
        elif settled is not None:
            state, text, code = "late", "did not sign the block", ""
        else:
            state, text, code = _own(party, noted) if me else _of_peer(context, noted, artifacts, party)
            if expired and state in ("invited", "joined", "working"):
                state, text = "expired", f"{text}; the run's time is over"
        parties.append(PartyStatus(party, role, me, state, text, code))
    return parties


def _skipped(context: PartyContext, noted: RunRecord, party: str, me: bool) -> bool:
    """Whether a run goes on without a party, by this party's record and the manifest."""
    begun = noted.last("run")
    if noted.last("absence") is not None:
        return me
    joined = () if begun is None else (*begun.body["approvers"], *(late.party for late in context.admitted(noted.run)))
    return begun is not None and party not in joined


def current_stage(noted: RunRecord) -> str:
    """The present stage of this party: the stage after the last one whose end is in its record. Not all roles record all ends."""
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


def _of_peer(context: PartyContext, noted: RunRecord, artifacts: list[Artifact], party: str) -> tuple[str, str, str]:
    received = [artifact for artifact in artifacts if artifact.book == "received" and artifact.peer == party]
    messages = {artifact.message for artifact in received}
    if "abort" in messages:
        failure = _reported(context, noted.run, artifacts, party)
        return "aborted", _ending(failure, party) if failure else "aborted", failure.code if failure else ""
    working = [artifact for artifact in received if artifact.stage not in _HANDSHAKE]
    if working:
        stage = working[-1].stage
        round = max(artifact.round for artifact in working if artifact.stage == stage)
        return "working", f"{_DOING.get(stage, stage)}{f', round {round}' if stage == 'train' and round else ''}", ""
    if noted.last("run") is not None or "join" in messages:
        return "joined", "joined", ""
    return "invited", "invited the others" if "invitation" in messages else "invited", ""


def _ending(failure: Failure, party: str) -> str:
    """How a run ended at a party: it failed, or it stopped because another party failed."""
    failed = f"failed at {failure.step}" if failure.step else "failed"
    if failure.party == party:
        return failed
    source = "" if failure.by == failure.party else "it says that " if failure.by == party else f"{failure.by} says that "
    return f"stopped: {source}{failure.party} {failed}"


def _expired(context: PartyContext, noted: RunRecord, at: str) -> bool:
    """Whether the run's time is over, by its invitation or, if this party has none, by the terms."""
    from tombolo.fl_tasks.workflow.state import INVITATION

    invited = context.state(noted.run).get(INVITATION)
    if invited is not None:
        return datetime.now(UTC) > invited.expires_at
    begun = datetime.fromisoformat(at) if at else datetime.now(UTC)
    return datetime.now(UTC) > begun + timedelta(seconds=context.terms.deadlines.run)


_REPORTED: dict[tuple[str, str, str], Failure] = {}


def _reported(context: PartyContext, run: str, artifacts: list[Artifact], peer: str) -> Failure | None:
    """The failure in an abort that a peer sent; None if it sent none, or it cannot be read any more. Nothing is booked."""
    from tombolo.fl_tasks.runtime.aborts import read_abort

    if not any((artifact.book, artifact.peer, artifact.message) == ("received", peer, "abort") for artifact in artifacts):
        return None
    key = (context.store.url, run, peer)
    if key not in _REPORTED:
        exchange = context.handshake(run)
        exchange.books = _Unbooked()  # type: ignore[assignment]
        with suppress(CodedError):
            if (failure := read_abort(exchange, peer)) is not None:
                _REPORTED[key] = failure
    return _REPORTED.get(key)


class _Unbooked:
    """Books for an exchange that only reads: nothing is booked."""

    def book_received(self, entry: Any) -> None:
        pass


_INVITED: dict[tuple[str, str], tuple[float, Invited]] = {}


def invitations(context: PartyContext, record: RecordIndex) -> Invited:
    """Proposed runs that are not in this party's record. Reads the initiator's store at most every ten seconds."""
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
    oldest, proposed = datetime.now(UTC) - timedelta(seconds=context.terms.deadlines.run), {}
    try:
        for key in store.list(before, 10_000):
            run = key.removeprefix(before).removesuffix(after)
            if key.endswith(after) and run not in record.runs:
                with suppress(KeyMissing):  # deleted after the listing
                    modified = store.stat(key).modified
                    if modified > oldest:
                        proposed[run] = modified
    except CodedError as error:
        return Invited(proposed, error.at(initiator))
    return Invited(proposed)
