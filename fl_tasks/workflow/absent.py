"""What a client does in a run that begins without it: it may decline the run before, and it keeps the block that the others sign.

The block belongs to the ledger of all members, because the next block names it. The others also send an absent client what they
have signed (joins, manifest, block), sealed with its long-term key from the agreement.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from tombolo.agreements.manifest import MOST_OF_A_PERSON, RUN_ID, Decline, Manifest
from tombolo.fl_tasks.ledger.settlement.messages import SETTLEMENT
from tombolo.fl_tasks.ledger.settlement.settle import EarlierRun, OtherHistory
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.record import enter_finding
from tombolo.fl_tasks.runtime.state import JOIN, MANIFEST
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.workflow.closing import heard_closing, joins_of, note_absence
from tombolo.fl_tasks.workflow.handshake import NotSigned, collect_signatures, columns_of, send_to_all, sign_answer
from tombolo.fl_tasks.workflow.join import invitation
from tombolo.storage.canonical import canonical, digest, parse
from tombolo.storage.errors import CodedError, blame, shown
from tombolo.storage.ledger.block import FIRST_PREVIOUS, longest_block, verify_block
from tombolo.storage.stores.base import StoreUnreachable


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
        send_to_all(context, context.handshake(run), "join", columns_of(sign_answer(context, answer)))
        note_absence(context, invited, answer="declined", by=decliner)


def show_block(context: PartyContext, run: str, kept: dict[str, Any], previous_run: str) -> None:
    """Send a final block to the members that took no part in its run."""
    exchange, taking_part = context.handshake(run), context.taking_part(run)
    for peer in context.peers:
        if peer not in taking_part:
            exchange.send(SETTLEMENT["absentees_block"], peer, 0, {"document": canonical(kept), "previous_run": previous_run})


def take_block(context: PartyContext, run: str, wait: Wait) -> dict[str, Any]:
    """Keep the manifest and the block of a run that this party took no part in; returns the block as it is kept.

    A member that shows a wrong block does not count. Raises EarlierRun if this party does not have the block before yet,
    OtherHistory if it has another one, or the errors of waiting.
    """
    invited, exchange, limits = invitation(context, run), context.handshake(run), context.terms.deadlines
    closing = heard_closing(context, invited, exchange, wait)
    manifest = Manifest.build(invited, joins_of(context, invited, exchange, closing))
    watch = context.watch(run, wait, settling=True, deadline=limits.run + limits.settle)
    message, wrong = SETTLEMENT["absentees_block"], dict[str, CodedError]()
    shown: dict[str, tuple[dict[str, Any], str]] = {}

    def known() -> tuple[dict[str, Any], str] | None:
        for peer in manifest.parties:
            if peer in shown or peer in wrong:
                continue
            try:
                receipt = exchange.fetch(message, peer, 0)
                if receipt is not None:
                    with blame(peer):
                        shown[peer] = _read_block(context, run, manifest, receipt.table)
            except StoreUnreachable:
                continue
            except CodedError as error:
                wrong[peer] = error
                enter_finding(context, run, peer, error.code)
        if len(wrong) == len(manifest.parties):
            raise wrong[context.initiator]
        return _agreed(context, shown)

    key = exchange.address(message.name, context.me, 0, message.step).head()
    kept, previous_run = watch.until(known, context.initiator, message.name, key)
    try:
        collect_signatures(context, exchange, watch, manifest, 0.0)
    except NotSigned as error:  # the votes on the block stand for the manifest too
        enter_finding(context, run, error.party or context.initiator, error.code)
    context.state(run).keep(MANIFEST, manifest)
    note_absence(context, invited, answer="none", joined=list(closing.joined))
    block = kept["block"]
    if block["previous"] != FIRST_PREVIOUS:
        before = context.blocks.get(block["height"] - 1)
        if before is None:
            raise EarlierRun(previous_run)
        if digest(before["block"]) != block["previous"]:
            raise OtherHistory(f"Block {block['height'] - 1} is another one here.", party=context.initiator)
    return context.blocks.put(block["height"], kept)


def _agreed(context: PartyContext, shown: Mapping[str, tuple[dict[str, Any], str]]) -> tuple[dict[str, Any], str] | None:
    """The block, and the run that the block before it closes; None while too few members have named that run.

    The votes prove the block, but not this name. It is needed only if this party lacks the block before; then so many members must
    name the same run that one of them is honest.
    """
    for kept, _ in shown.values():
        block = kept["block"]
        if block["previous"] == FIRST_PREVIOUS or context.blocks.get(block["height"] - 1) is not None:
            return kept, ""
    honest = (len(context.agreement.members) - 1) // 3 + 1
    for kept, name in shown.values():
        if sum(other == name for _, other in shown.values()) >= honest:
            return kept, name
    return None


def _read_block(context: PartyContext, run: str, manifest: Manifest, table: pa.Table) -> tuple[dict[str, Any], str]:
    """The run's block with its votes, and the run that the block before it closes. Raises OtherHistory or an error of the block."""
    longest = longest_block(len(context.agreement.members))
    kept, previous_run = parse(table.column("document")[0].as_py(), longest), str(table.column("previous_run")[0].as_py())
    block = verify_block(kept, {name: member.verify for name, member in context.agreement.members.items()})
    if (block["agreement"], block["run"], block["manifest"]) != (context.agreement.name, run, manifest.digest):
        raise OtherHistory("The block closes another run.")
    if block["previous"] != FIRST_PREVIOUS and (previous_run == run or re.fullmatch(RUN_ID, previous_run) is None):
        raise OtherHistory(f"Block {block['height']} names no run before it.")
    return kept, previous_run
