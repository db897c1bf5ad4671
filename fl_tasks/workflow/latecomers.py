"""Clients that join a run after it has begun: they accept its manifest, and take part from the next leg of training on.

Secure sums need only the client's own signed join to the manifest, so the other clients decide nothing. The aggregator keeps copies
of what it has sent to all clients, and sends them to a client that it admits. That client goes through the rounds that it has
missed, and counts as late in each of their steps. When training is over, the aggregator sends the clients that take part the list
of those it has admitted, with their signed late joins.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from tombolo.agreements.manifest import MOST_OF_A_PERSON, Invitation, LateJoin, Manifest, Software
from tombolo.fl_tasks.runtime.context import Absent, PartyContext
from tombolo.fl_tasks.runtime.record import enter_finding
from tombolo.fl_tasks.runtime.state import ADMITTED, COPIES, MANIFEST
from tombolo.fl_tasks.runtime.waiting import PeerAborted, PeerSilent, RunExpired, Wait
from tombolo.fl_tasks.workflow.closing import BadClosing, heard_closing, joins_of, note_absence
from tombolo.fl_tasks.workflow.handshake import (
    HANDSHAKE,
    JOIN_DOMAIN,
    BadJoin,
    collect_signatures,
    columns_of,
    hear,
    require_seal,
    require_software,
    run_seal,
    run_secret,
    send_to_all,
    sign_answer,
    signed_row,
)
from tombolo.fl_tasks.workflow.messages import declared
from tombolo.fl_tasks.workflow.state import CAUGHT_UP, LATE_JOIN, LATECOMERS
from tombolo.storage.canonical import parse
from tombolo.storage.errors import CodedError, blame, shown
from tombolo.storage.exchange import Exchange
from tombolo.storage.ledger.signed import Signed
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
        collect_signatures(context, exchange, watch, manifest, context.terms.deadlines.message)
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
        answer = sign_answer(context, late.document())
        if not exchange.present(admission, context.initiator, 0):
            send_to_all(context, exchange, "late_join", columns_of(answer))
        admitted = hear(exchange, watch, admission, context.initiator).table.column("admitted")[0].as_py()
    except (PeerAborted, PeerSilent, RunExpired) as ended:
        note_absence(context, invited, **facts)
        raise Absent(f"Run {run} is over. {ended}", party=context.me) from None
    if not admitted:
        note_absence(context, invited, **facts)
        raise Absent(f"In run {run}, training is over.", party=context.me)
    state.keep(MANIFEST, manifest)
    state.keep(ADMITTED.of(context.me), answer)
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
                signed = _read(context, run, exchange, client)
            except StoreUnreachable:
                continue
            except CodedError as error:  # a wrong late join must not stop the clients that take part
                address = exchange.address("late_join", context.me, 0, HANDSHAKE["late_join"].step).prefix()
                enter_finding(context, run, client, error.code, [address])
                continue
            if signed is not None:
                state.keep(ADMITTED.of(client), signed)
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
    told = {"client": names, **columns_of(*(state[ADMITTED.of(name)] for name in names))}
    for client in context.clients:
        if client in context.taking_part(run):
            exchange.send(HANDSHAKE["latecomers"], client, 0, told)
        else:
            exchange.send(HANDSHAKE["admission"], client, 0, {"admitted": False})
    for copy in state.all(COPIES):
        state.delete(copy)


def hear_latecomers(context: PartyContext, run: str, wait: Wait) -> None:
    """At every party, before a training run is settled: read who was admitted, and their late joins with their keys.

    Raises BadClosing.
    """
    if not context.admits or context.manifest(run).invitation.kind != "train":
        return
    exchange, state = context.handshake(run), context.state(run)
    if context.role != AGGREGATOR:
        table = hear(exchange, context.watch(run, wait, settling=True), HANDSHAKE["latecomers"], context.initiator).table
        names = table.column("client").to_pylist()
        if len(set(names)) != len(names) or any(
            name not in context.clients or name in context.agreed(run).parties for name in names
        ):
            raise BadClosing("A client on the list cannot have come late.", party=context.initiator)
        for row, client in enumerate(names):
            try:
                signed = signed_row(table, row, client)
                late_join_of(context, run, signed)
            except CodedError as error:
                raise BadClosing(f"{client} has not joined late ({error.code}).", party=context.initiator) from None
            state.keep(ADMITTED.of(client), signed)


def _outside(context: PartyContext, run: str) -> list[str]:
    inside = context.taking_part(run)
    return [client for client in context.clients if client not in inside]


def _read(context: PartyContext, run: str, exchange: Exchange, client: str) -> Signed | None:
    receipt = exchange.fetch(HANDSHAKE["late_join"], client, 0)
    if receipt is None:
        return None
    with blame(client):
        signed = signed_row(receipt.table, 0, client)
        late_join_of(context, run, signed)
    return signed


def late_join_of(context: PartyContext, run: str, signed: Signed) -> LateJoin:
    """A client's late join. Raises SignatureRefused, BadJoin, BadManifest or SoftwareDiffers."""
    client, manifest = signed.party, context.agreed(run)
    signed.verify(context.agreement.members[client].verify, JOIN_DOMAIN)
    late = LateJoin.from_document(parse(signed.body))
    require_seal(late.seal, client)
    if (late.party, late.run, late.manifest) != (client, run, manifest.digest):
        raise BadJoin(party=client)
    require_software(manifest.invitation, late.software, client)
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
