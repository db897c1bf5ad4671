"""What a client does in a run that begins without it: it may decline the run before, and it keeps the block that the others sign.

The block belongs to the ledger of all members, because the next block names it. The others also send an absent client what they
have signed (joins, manifest, block), sealed with its long-term key from the agreement.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tombolo.agreements.manifest import MOST_OF_A_PERSON, Decline, Manifest
from tombolo.fl_tasks.ledger.settlement.messages import SETTLEMENT
from tombolo.fl_tasks.ledger.settlement.settle import EarlierRun, OtherHistory
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.state import JOIN, MANIFEST
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.workflow.closing import heard_closing, joins_of, note_absence
from tombolo.fl_tasks.workflow.handshake import collect_signatures, send_to_all
from tombolo.fl_tasks.workflow.join import invitation
from tombolo.storage.canonical import canonical, digest, parse
from tombolo.storage.errors import shown
from tombolo.storage.exchange import Receipt
from tombolo.storage.ledger.block import FIRST_PREVIOUS, verify_block

_LARGEST = 1 << 26


def decline(context: PartyContext, run: str, decliner: str) -> None:
    """Tell all parties that this client takes no part in a run. If it has already sent a join, the join stays."""
    invited = invitation(context, run)
    document = Decline(
        run=run,
        party=context.me,
        invitation_digest=invited.digest,
        decliner=shown(decliner[:MOST_OF_A_PERSON]),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    answer = context.state(run).keep(JOIN, document.document())
    if "decliner" in answer:
        send_to_all(context, context.handshake(run), "join", {"document": canonical(answer)})
        note_absence(context, invited, answer="declined", by=decliner)


def show_block(context: PartyContext, run: str, kept: dict[str, Any], previous_run: str) -> None:
    """Send a final block to the members that took no part in its run."""
    exchange, taking_part = context.handshake(run), context.taking_part(run)
    for peer in context.peers:
        if peer not in taking_part:
            exchange.send(SETTLEMENT["absentees_block"], peer, 0, {"document": canonical(kept), "previous_run": previous_run})


def take_block(context: PartyContext, run: str, wait: Wait) -> dict[str, Any]:
    """Keep the manifest and the block of a run that this party took no part in; returns the block as it is kept.

    Raises EarlierRun if this party does not have the block before yet, OtherHistory if it has another one, or the errors of
    waiting.
    """
    invited, exchange, limits = invitation(context, run), context.handshake(run), context.terms.deadlines
    closing = heard_closing(context, invited, exchange, wait)
    manifest = Manifest.build(invited, joins_of(context, invited, exchange, closing))
    watch = context.watch(run, wait, settling=True, deadline=limits.run + limits.settle)
    collect_signatures(context, exchange, watch, manifest)
    context.state(run).keep(MANIFEST, manifest)
    note_absence(context, invited, answer="none", joined=list(closing.joined))
    message = SETTLEMENT["absentees_block"]

    def shown() -> Receipt | None:
        parties = (peer for peer in manifest.parties if exchange.present(message, peer, 0))
        return next((exchange.fetch(message, peer, 0) for peer in parties), None)

    key = exchange.address(message.name, context.me, 0, message.step).head()
    table = watch.until(shown, context.initiator, message.name, key).table
    kept, previous_run = parse(table.column("document")[0].as_py(), _LARGEST), str(table.column("previous_run")[0].as_py())
    block = verify_block(kept, {name: member.verify for name, member in context.agreement.members.items()})
    if (block["agreement"], block["run"], block["manifest"]) != (context.agreement.name, run, manifest.digest):
        raise OtherHistory("The block closes another run.", party=context.initiator)
    if block["previous"] != FIRST_PREVIOUS:
        if previous_run in ("", run):
            raise OtherHistory(f"Block {block['height']} names no run before it.", party=context.initiator)
        before = context.blocks.get(block["height"] - 1)
        if before is None:
            raise EarlierRun(previous_run)
        if digest(before["block"]) != block["previous"]:
            raise OtherHistory(f"Block {block['height'] - 1} is another one here.", party=context.initiator)
    return context.blocks.put(block["height"], kept)
