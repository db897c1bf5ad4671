"""Settle stage: what everybody contributed and earns, books compared in pairs, and one block that all parties sign.

Settling closes a run: its keys are destroyed afterwards, and what lies in the stores stays sealed for good.
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
from tombolo.fl_tasks.runtime.context import Absent, NotJoined, PartyContext
from tombolo.fl_tasks.runtime.record import enter
from tombolo.fl_tasks.runtime.session import Progress, log_progress
from tombolo.fl_tasks.runtime.waiting import PeerAborted, PeerSilent, Wait
from tombolo.fl_tasks.workflow.absent import show_block, take_block
from tombolo.fl_tasks.workflow.contribute import contribute, two_counts
from tombolo.fl_tasks.workflow.latecomers import hear_latecomers
from tombolo.storage.canonical import canonical, digest, parse
from tombolo.storage.errors import CodedError
from tombolo.storage.ledger.block import FIRST_PREVIOUS
from tombolo.storage.private import PrivateArea


class BooksDiffer(CodedError):
    code = "TMB-LEDGER-005"
    cause = "The run is settled, but some artifacts are not booked alike by sender and receiver; its block says so."
    remedy = "`tombolo audit show` of both parties names the addresses; keep both stores as they are until it is explained."


def settle(context: PartyContext, run: str, wait: Wait, progress: Progress = log_progress) -> dict[str, Any]:
    """Close a run with all parties; returns the block's facts. Repeating it changes nothing, whatever was interrupted.

    A party that took no part keeps the block that the others sign. Raises Waiting or PeerSilent while a party is missing; a later
    try goes on. Raises, after the block is final, :class:`BooksDiffer` where this party's books and a peer's do not agree, and
    TwoCounts where a client told it another number of rows than the rest; Absent where a run without this party has no block.
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


def _closed(context: PartyContext, run: str, wait: Wait, progress: Progress) -> dict[str, Any]:
    """The facts of the run's block; runs before it that are still open are closed first."""
    area = context.run_area(run)
    stored = area.get("settled")
    while stored is None:
        try:
            stored = _settle(context, run, wait, progress)
        except EarlierRun as earlier:  # its own task failed or is still at it; every step can be taken by both
            _closed(context, earlier.run, wait, progress)
    for name in ("secret", "seeds", *area.names("own-seeds/")):
        area.delete(name)
    facts: dict[str, Any] = parse(stored)
    return facts


def _settle(context: PartyContext, run: str, wait: Wait, progress: Progress) -> bytes:
    if context.may_skip and context.me not in _parties(context, run):
        return _close(context, run, take_block(context, run, wait), Reconciled([], {}))
    hear_latecomers(context, run, wait)
    facts = _facts(context, run, wait, progress)
    manifest = context.manifest(run)
    ledger = context.private.area("ledger")
    common = {
        "agreement": context.agreement.name,
        "agreement_digest": manifest.invitation.agreement_digest,
        "run": run,
        "kind": manifest.invitation.kind,
        "manifest": manifest.digest,
        "facts": facts,
    }
    members = {name: member.verify for name, member in context.agreement.members.items()}
    seat = Seat(context.keys.signing, members, ledger.area("votes"))
    if context.terms.task.horizontal_terms is not None:  # what came too late for its step is not lost to the books
        exchange = context.exchange(run)
        for peer in context.taking_part(run):
            if peer != context.me:
                exchange.book_unread(peer)
    with context.session(run, SETTLEMENT, "settle", wait, progress, settling=True) as session:
        books = reconcile(session, context.books(run), forgiving(members))
        at = agree_on_place(session, lambda: _next_place(context, ledger, run))
        own = {"party": context.me, "pairs": books.pairs, "record": _record_head(context)}
        said = {**common, "height": at.height, "previous": _previous(context, run, at), **own}
        document = Assembly(session, seat, at, attestation(session, seat, said)).run()
        session.report(block=document["block"]["height"])
    kept = context.blocks.put(at.height, document)
    show_block(context, run, kept, at.previous_run)
    return _close(context, run, kept, books)


def _parties(context: PartyContext, run: str) -> list[str]:
    """Who takes part in a run, as far as this party knows; a run that it has never heard of goes on without it."""
    try:
        return list(context.taking_part(run))
    except (Absent, NotJoined):
        return []


def _facts(context: PartyContext, run: str, wait: Wait, progress: Progress) -> dict[str, Any]:
    """What every party must find alike: metrics, contributions, rewards."""
    evaluation = context.run_area(run).get("evaluation")
    metrics = parse(evaluation)["metrics"] if evaluation else {}
    return {"metrics": metrics, **contribute(context, run, wait, progress)}


def _record_head(context: PartyContext) -> dict[str, Any]:
    """Where this party's record ends now: what the block pins, so that nothing before it can be cut off unseen."""
    head = context.chain.head()
    return {"index": head.index, "digest": head.digest} if head else {"index": 0, "digest": FIRST_PREVIOUS}


def _next_place(context: PartyContext, ledger: PrivateArea, run: str) -> Place:
    """The guest's next free height, which is this run's from then on."""
    noted = context.run_area(run).get("height")
    height = int(noted) if noted else context.blocks.height() + 1
    while ledger.keep(f"heights/{height:09d}", run.encode()) != run.encode():
        height += 1
    context.run_area(run).keep("height", str(height).encode())
    taken = ledger.get(f"heights/{height - 1:09d}")
    return Place(height, taken.decode() if taken else "")


def _previous(context: PartyContext, run: str, at: Place) -> str:
    """Hash of this party's block before. Raises :class:`EarlierRun` while it is open, OtherHistory where a height is taken."""
    taken = context.blocks.get(at.height)
    if taken is not None and taken["block"]["run"] != run:
        raise OtherHistory(f"Block {at.height} closes another run here.", party=context.me)
    if at.height == 1:
        return FIRST_PREVIOUS
    before = context.blocks.get(at.height - 1)
    if before is None:
        raise EarlierRun(at.previous_run)
    if before["block"]["run"] != at.previous_run:
        raise OtherHistory(f"Block {at.height - 1}.", party=context.me)
    return digest(before["block"])


def _close(context: PartyContext, run: str, kept: dict[str, Any], books: Reconciled) -> bytes:
    """Enter the settlement and what differs in this party's record; keep the facts."""
    block = kept["block"]
    for peer, found in books.findings.items():
        odd = sorted({line.address for line in (*found.ours, *found.theirs)})
        enter(context, run, "finding", peer, code=BooksDiffer.code, addresses=odd)
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
    return context.run_area(run).keep("settled", canonical(facts))
