"""Settle stage: compute contributions and rewards, compare books in pairs, and make one block that all parties sign.

Settling closes a run: its keys are destroyed afterwards, so that nobody can open the run's artifacts in the stores any more.
"""

from __future__ import annotations

from typing import Any

from tombolo.fl_tasks.incentives.volume import TwoCounts
from tombolo.fl_tasks.ledger.settlement.books import Reconciled, reconcile
from tombolo.fl_tasks.ledger.settlement.messages import SETTLEMENT
from tombolo.fl_tasks.ledger.settlement.settle import (
    Assembly,
    EarlierRun,
    OtherHistory,
    Place,
    Seat,
    agree_on_place,
    attestation,
    forgiving,
)
from tombolo.fl_tasks.ledger.settlement.state import HEIGHT, HEIGHTS
from tombolo.fl_tasks.runtime.context import Absent, NotJoined, PartyContext
from tombolo.fl_tasks.runtime.record import enter, enter_finding
from tombolo.fl_tasks.runtime.session import Progress, log_progress
from tombolo.fl_tasks.runtime.state import SETTLED
from tombolo.fl_tasks.runtime.waiting import PeerAborted, PeerSilent, Wait
from tombolo.fl_tasks.workflow.absent import show_block, take_block
from tombolo.fl_tasks.workflow.contribute import contribute, two_counts
from tombolo.fl_tasks.workflow.handshake import book_answers
from tombolo.fl_tasks.workflow.latecomers import hear_latecomers
from tombolo.fl_tasks.workflow.state import EVALUATION, items_of
from tombolo.storage.canonical import digest
from tombolo.storage.errors import CodedError
from tombolo.storage.exchange import Exchange
from tombolo.storage.ledger.block import FIRST_PREVIOUS


class BooksDiffer(CodedError):
    code = "TMB-LEDGER-005"
    cause = "The run is settled, but sender and receiver have booked some artifacts differently; the block of the run says so."
    remedy = (
        "Run `tombolo audit show` at both parties; it names the addresses. Keep both stores unchanged until the difference is "
        "explained."
    )


_MOST_ADDRESSES = 100
"""How many addresses of differing artifacts the record names for a peer."""


def settle(context: PartyContext, run: str, wait: Wait, progress: Progress = log_progress) -> dict[str, Any]:
    """Close a run with all parties; returns the facts of the block. Repeating it changes nothing, also after an interruption.

    A party that took no part keeps the block that the others sign. Raises Waiting or PeerSilent while a party is missing; a later
    try goes on. After the block is final, raises :class:`BooksDiffer` if this party's book and a peer's book differ, and TwoCounts
    if a client told this party another number of rows than it told others. Raises Absent if a run without this party has no block.
    """
    try:
        facts = _closed(context, run, wait, progress)
    except (PeerAborted, PeerSilent) as ended:
        if context.absent(run):
            raise Absent(f"Run {run} has no block. {ended}", party=context.me) from None
        raise
    if facts["differing"]:
        raise BooksDiffer(f"Block {facts['height']}, with {', '.join(facts['differing'])}.", party=context.me)
    for client in two_counts(context, run):
        raise TwoCounts(f"Block {facts['height']}.", party=client)
    return facts


def _closed(context: PartyContext, run: str, wait: Wait, progress: Progress, after: tuple[str, ...] = ()) -> dict[str, Any]:
    """The facts of the run's block. Earlier runs that are still open are closed first. ``after`` are the runs that wait for it."""
    state = context.state(run)
    facts = state.get(SETTLED)
    while facts is None:
        try:
            facts = _settle(context, run, wait, progress)
        except EarlierRun as earlier:  # its own task failed or still runs; two tasks may do the same steps
            if earlier.run in (run, *after):
                raise OtherHistory("Two runs name each other as the earlier run.", party=context.initiator) from None
            _closed(context, earlier.run, wait, progress, (run, *after))
    for family in items_of(context.terms.task.descriptor):
        if family.ends == "settlement":
            for item in state.all(family):
                state.delete(item)
    return facts


def _settle(context: PartyContext, run: str, wait: Wait, progress: Progress) -> dict[str, Any]:
    if context.may_skip and context.me not in _parties(context, run):
        return _close(context, run, take_block(context, run, wait), Reconciled([], {}, {}))
    hear_latecomers(context, run, wait)
    facts = _facts(context, run, wait, progress)
    manifest = context.manifest(run)
    common = {
        "agreement": context.agreement.name,
        "agreement_digest": manifest.invitation.agreement_digest,
        "run": run,
        "kind": manifest.invitation.kind,
        "manifest": manifest.digest,
        "facts": facts,
    }
    members = {name: member.verify for name, member in context.agreement.members.items()}
    seat = Seat(context.keys.signing, members, context.private.area("ledger", "votes"))
    if context.terms.task.horizontal_terms is not None:  # artifacts that came too late for their step are booked too
        exchange = context.exchange(run)
        for peer in context.taking_part(run):
            if peer != context.me:
                book_answers(context, run, peer)
                _book_unread(context, exchange, peer)
    with context.session(run, SETTLEMENT, "settle", wait, progress, settling=True) as session:
        books = reconcile(session, context.books(run), forgiving(members))
        at = agree_on_place(session, lambda: _next_place(context, run))
        own = {"party": context.me, "pairs": books.pairs, "record": _record_head(context)}
        own |= context.odometer.statement(context.agreement.members)
        statement = {**common, "height": at.height, "previous": _previous(context, run, at), **own}
        assembly = Assembly(session, seat, at, attestation(session, seat, statement))
        document = assembly.run()
        session.report(block=document["block"]["height"])
    kept = context.blocks.put(at.height, document)
    show_block(context, run, kept, at.previous_run)
    for peer, code in (*books.refused.items(), *assembly.refused.items()):
        enter_finding(context, run, peer, code)
    return _close(context, run, kept, books)


def _book_unread(context: PartyContext, exchange: Exchange, peer: str) -> None:
    """Book what a peer sent too late. What is wrong in there does not stop the others; the record names the peer."""
    try:
        exchange.book_unread(peer)
    except CodedError as error:
        if error.transient and not forgiving(context.agreement.members):
            raise
        enter_finding(context, exchange.run, peer, error.code)


def _parties(context: PartyContext, run: str) -> list[str]:
    """Who takes part in a run, as far as this party knows. Empty if the run goes on without this party."""
    try:
        return list(context.taking_part(run))
    except (Absent, NotJoined):
        return []


def _facts(context: PartyContext, run: str, wait: Wait, progress: Progress) -> dict[str, Any]:
    """The facts that must be equal at every party: metrics, contributions and rewards."""
    evaluation = context.state(run).get(EVALUATION)
    metrics = evaluation["metrics"] if evaluation else {}
    return {"metrics": metrics, **contribute(context, run, wait, progress)}


def _record_head(context: PartyContext) -> dict[str, Any]:
    """Where this party's record ends now. The block pins this, so that an audit sees if earlier entries are removed."""
    head = context.chain.head()
    return {"index": head.index, "digest": head.digest} if head else {"index": 0, "digest": FIRST_PREVIOUS}


def _next_place(context: PartyContext, run: str) -> Place:
    """The initiator's next free height, and the run before it. The height belongs to this run from then on."""
    state = context.state(run)
    height = state.get(HEIGHT) or context.blocks.height() + 1
    while state.keep(HEIGHTS.of(height), run) != run:
        height += 1
    state.keep(HEIGHT, height)
    return Place(height, state.get(HEIGHTS.of(height - 1)) or "")


def _previous(context: PartyContext, run: str, at: Place) -> str:
    """The hash of the block before, in this party's ledger.

    Raises :class:`EarlierRun` while there is no such block yet, and OtherHistory if a block at one of the heights is another one.
    """
    taken = context.blocks.get(at.height)
    if taken is not None and taken["block"]["run"] != run:
        raise OtherHistory(f"Block {at.height} closes another run here.", party=context.me)
    if at.height == 1:
        return FIRST_PREVIOUS
    before = context.blocks.get(at.height - 1)
    if before is None:
        raise EarlierRun(at.previous_run)
    if before["block"]["run"] != at.previous_run:
        raise OtherHistory(f"Block {at.height - 1} closes another run here.", party=context.me)
    return digest(before["block"])


def _close(context: PartyContext, run: str, kept: dict[str, Any], books: Reconciled) -> dict[str, Any]:
    """Enter the settlement and the differences of books in this party's record; keep the facts."""
    block = kept["block"]
    for peer, matched in books.findings.items():
        odd = sorted({line.address for line in (*matched.ours, *matched.theirs)})[:_MOST_ADDRESSES]
        enter_finding(context, run, peer, BooksDiffer.code, odd)
    pairs = [pair for pair in block["pairs"] if "root" in pair]
    facts = {
        "run": run,
        "height": block["height"],
        "block": digest(block),
        "previous": block["previous"],
        "signers": sorted({vote["party"] for vote in kept["certificate"]}),
        "artifacts": sum(pair["artifacts"] for pair in pairs),
        "bytes": sum(pair["bytes"] for pair in pairs),
        "unmatched": sum(pair["unmatched"] for pair in pairs),
        "disputed": [pair["parties"] for pair in block["pairs"] if "root" not in pair],
        "differing": sorted(books.findings),
        "contributions": block["facts"]["contributions"],
        "rewards": block["facts"]["rewards"],
    }
    enter(context, run, "settlement", str(block["height"]), block=facts["block"], signers=facts["signers"])
    return context.state(run).keep(SETTLED, facts)
