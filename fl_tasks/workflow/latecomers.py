"""Clients that join a run after it has begun: they accept its manifest, and take part from the next leg of training on.

Secure sums need only the client's own signed join to the manifest, so the other clients decide nothing. The aggregator keeps copies
of what it has sent to all clients, and sends them to a client that it admits. That client goes through the rounds that it has
missed, and counts as late in each of their steps. When training is over, the aggregator sends the clients that take part the list
of those it has admitted. Each of them then reads the signed late join of every client on the list.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from tombolo.agreements.manifest import MOST_OF_A_PERSON, Invitation, LateJoin, Manifest, Software, SoftwareDiffers
from tombolo.fl_tasks.runtime.context import Absent, PartyContext
from tombolo.fl_tasks.runtime.record import enter
from tombolo.fl_tasks.runtime.state import ADMITTED, COPIES, MANIFEST
from tombolo.fl_tasks.runtime.waiting import PeerAborted, PeerSilent, RunExpired, Wait
from tombolo.fl_tasks.workflow.closing import BadClosing, heard_closing, joins_of, note_absence
from tombolo.fl_tasks.workflow.handshake import (
    HANDSHAKE,
    BadJoin,
    collect_signatures,
    hear,
    require_seal,
    run_seal,
    run_secret,
    send_to_all,
)
from tombolo.fl_tasks.workflow.messages import declared
from tombolo.fl_tasks.workflow.state import CAUGHT_UP, LATE_JOIN, LATECOMERS
from tombolo.storage.canonical import canonical, parse
from tombolo.storage.errors import CodedError, blame, shown
from tombolo.storage.exchange import Exchange
from tombolo.storage.roles import AGGREGATOR
from tombolo.storage.stores.base import StoreUnreachable


def ask_admission(context: PartyContext, invited: Invitation, wait: Wait, approver: str) -> Manifest:
    """At a late client: check the manifest that the others have signed, accept it, and wait to be admitted. Returns the manifest.

    Raises Absent if the run has ended without this client.
    """
    run, exchange, state = invited.run, context.handshake(invited.run), context.state(invited.run)
    closing = heard_closing(context, invited, exchange, wait)
    manifest = Manifest.build(invited, joins_of(context, invited, exchange, closing))
    if ADMITTED.of(context.me) in state:
        return manifest
    watch, admission = context.watch(run, wait, deadline=context.terms.deadlines.run), HANDSHAKE["admission"]
    facts: dict[str, Any] = {"answer": "late", "closed": closing.closed, "joined": list(closing.joined)}
    try:
        collect_signatures(context, exchange, watch, manifest)
        late = LateJoin(
            run=run,
            party=context.me,
            manifest=manifest.digest,
            seal=run_seal(run_secret(context, run)),
            approver=shown(approver[:MOST_OF_A_PERSON]),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            software=Software.of(context.terms.task.offered),
        )
        late = state.keep(LATE_JOIN, late)
        if not exchange.present(admission, context.initiator, 0):
            send_to_all(context, exchange, "late_join", {"document": canonical(late.document())})
        admitted = hear(exchange, watch, admission, context.initiator).table.column("admitted")[0].as_py()
    except (PeerAborted, PeerSilent, RunExpired) as ended:
        note_absence(context, invited, **facts)
        raise Absent(f"Run {run} is over. {ended}", party=context.me) from None
    if not admitted:
        note_absence(context, invited, **facts)
        raise Absent(f"In run {run}, training is over.", party=context.me)
    state.keep(MANIFEST, manifest)
    state.keep(ADMITTED.of(context.me), late)
    return manifest


def admit(context: PartyContext, run: str) -> None:
    """At the aggregator, before a leg: admit the clients that have asked, and send them what all others were sent.

    It can be repeated.
    """
    if not context.admits or context.role != AGGREGATOR:
        return
    exchange, state = context.handshake(run), context.state(run)
    if LATECOMERS not in state:
        for client in _outside(context, run):
            try:
                late = _read(context, run, exchange, client)
            except StoreUnreachable:
                continue
            except CodedError as error:  # a wrong late join must not stop the clients that take part
                address = exchange.address("late_join", context.me, 0, HANDSHAKE["late_join"].step).prefix()
                enter(context, run, "finding", client, code=error.code, addresses=[address])
                continue
            if late is not None:
                state.keep(ADMITTED.of(client), late)
    for late in context.admitted(run):
        if CAUGHT_UP.of(late.party) not in state:
            _send_copies(context, run, late.party)
            exchange.send(HANDSHAKE["admission"], late.party, 0, {"admitted": True})
            state.keep(CAUGHT_UP.of(late.party), b"")


def close_admission(context: PartyContext, run: str) -> None:
    """At the aggregator, when training is over: admit no more clients, and tell the clients that take part who was admitted."""
    if not context.admits or context.role != AGGREGATOR:
        return
    exchange, state = context.handshake(run), context.state(run)
    names = state.keep(LATECOMERS, [late.party for late in context.admitted(run)])
    for client in context.clients:
        if client in context.taking_part(run):
            exchange.send(HANDSHAKE["latecomers"], client, 0, {"client": names})
        else:
            exchange.send(HANDSHAKE["admission"], client, 0, {"admitted": False})
    for copy in state.all(COPIES):
        state.delete(copy)


def hear_latecomers(context: PartyContext, run: str, wait: Wait) -> None:
    """At every party, before a training run is settled: read who was admitted, and their late joins with their keys.

    Raises BadClosing or BadJoin.
    """
    if not context.admits or context.manifest(run).invitation.kind != "train":
        return
    exchange, state = context.handshake(run), context.state(run)
    if context.role == AGGREGATOR:
        names = state.get(LATECOMERS) or []
    else:
        table = hear(exchange, context.watch(run, wait, settling=True), HANDSHAKE["latecomers"], context.initiator).table
        names = table.column("client").to_pylist()
    for client in names:
        if client not in context.clients or client in context.agreed(run).parties:
            raise BadClosing(f"{client} cannot have come late.", party=context.initiator)
        if client != context.me:
            late = _read(context, run, exchange, client)
            if late is None:
                raise BadClosing(f"{client} has not joined late.", party=context.initiator)
            state.keep(ADMITTED.of(client), late)
            exchange.fetch(HANDSHAKE["join"], client, 0)  # so that both sides book an answer that came too late


def _outside(context: PartyContext, run: str) -> list[str]:
    inside = context.taking_part(run)
    return [client for client in context.clients if client not in inside]


def _read(context: PartyContext, run: str, exchange: Exchange, client: str) -> LateJoin | None:
    receipt = exchange.fetch(HANDSHAKE["late_join"], client, 0)
    if receipt is None:
        return None
    with blame(client):
        late = LateJoin.from_document(parse(receipt.table.column("document")[0].as_py()))
    require_seal(late.seal, client)
    if (late.party, late.run, late.manifest) != (client, run, context.agreed(run).digest):
        raise BadJoin(party=client)
    invited = context.agreed(run).invitation.software
    if invited is not None and not invited.speaks_with(late.software):
        raise SoftwareDiffers(f"{late.software or 'An older version'} there; the invitation names {invited}.", party=client)
    return late


def _send_copies(context: PartyContext, run: str, client: str) -> None:
    """Send a client everything that all clients were sent so far, at the same rounds and steps."""
    exchange, state, task = context.exchange(run), context.state(run), context.terms.task
    for copy in state.all(COPIES):
        round, step, name = copy.key
        table = pa.ipc.open_stream(pa.BufferReader(state[copy])).read_all()
        columns = {column: table.column(column).combine_chunks() for column in table.column_names}
        message = declared(task, name)
        assert message is not None
        exchange.send(replace(message, step=step), client, int(round), columns)
