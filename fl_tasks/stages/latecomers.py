"""Clients that join a run after it has begun: they say yes to its manifest, and take part from the next leg of training on.

Sums need nothing but a client's own signature under the manifest, so that the other clients have nothing to decide. The aggregator
keeps what it has sent to all and sends it to who is admitted, which goes through the rounds that it has missed as one that was late
for each of their steps. When training is over the aggregator says who was admitted; all others hear of it from the client itself.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from contracts.manifest import Invitation, LateJoin, Manifest
from fl_tasks.ledger import enter
from fl_tasks.messages import declared
from fl_tasks.stages.closing import BadClosing, heard_closing, joins_of, note_absence
from fl_tasks.stages.handshake import HANDSHAKE, BadJoin, collect_signatures, hear, run_seal, run_secret, send_to_all
from fl_tasks.waiting import PeerAborted, PeerSilent, RunExpired, Wait
from fl_tasks.workplace import Absent, Workplace
from storage.canonical import canonical, parse
from storage.errors import CodedError
from storage.exchange import Exchange
from storage.roles import AGGREGATOR
from storage.stores.base import StoreUnreachable


def ask_admission(place: Workplace, invited: Invitation, wait: Wait, approver: str) -> Manifest:
    """A late client's side: check what the others have signed, say yes to it, and wait to be admitted. Returns the manifest.

    Raises Absent where the run has come to its end without this client.
    """
    run, exchange, area = invited.run, place.handshake(invited.run), place.run_area(invited.run)
    closing = heard_closing(place, invited, exchange, wait)
    manifest = Manifest.build(invited, joins_of(place, invited, exchange, closing))
    if area.get(f"admitted/{place.me}") is not None:
        return manifest
    watch, admission = place.watch(run, wait, deadline=place.terms.deadlines.run), HANDSHAKE["admission"]
    facts: dict[str, Any] = {"answer": "late", "closed": closing.closed, "joined": list(closing.joined)}
    try:
        collect_signatures(place, exchange, watch, manifest)
        late = LateJoin(
            run=run,
            party=place.me,
            manifest=manifest.digest,
            seal=run_seal(run_secret(place, run)),
            approver=approver,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        stored = area.keep("late-join", canonical(late.document()))
        if not exchange.present(admission, place.initiator, 0):
            send_to_all(place, exchange, "late_join", {"document": stored})
        admitted = hear(exchange, watch, admission, place.initiator).table.column("admitted")[0].as_py()
    except (PeerAborted, PeerSilent, RunExpired) as ended:
        note_absence(place, invited, **facts)
        raise Absent(f"Run {run} is over. {ended}", party=place.me) from None
    if not admitted:
        note_absence(place, invited, **facts)
        raise Absent(f"Run {run}, whose training is over.", party=place.me)
    area.keep("manifest", canonical(manifest.document()))
    area.keep(f"admitted/{place.me}", stored)
    return manifest


def admit(place: Workplace, run: str) -> None:
    """The aggregator's side, before a leg: let in who has asked, and send it what all others were sent. Repeatable."""
    if not place.admits or place.role != AGGREGATOR:
        return
    exchange, area = place.handshake(run), place.run_area(run)
    if area.get("latecomers") is None:
        for client in _outside(place, run):
            try:
                late = _read(place, run, exchange, client)
            except StoreUnreachable:
                continue
            except CodedError as error:  # it must not hold up those who take part
                address = exchange.address("late_join", place.me, 0, HANDSHAKE["late_join"].step).prefix()
                enter(place, run, "finding", client, code=error.code, addresses=[address])
                continue
            if late is not None:
                area.keep(f"admitted/{client}", canonical(late.document()))
    for late in place.admitted(run):
        if area.get(f"caught-up/{late.party}") is None:
            _send_copies(place, run, late.party)
            exchange.send(HANDSHAKE["admission"], late.party, 0, {"admitted": True})
            area.keep(f"caught-up/{late.party}", b"")


def close_admission(place: Workplace, run: str) -> None:
    """The aggregator's side, when training is over: nobody is admitted any more, and all hear who was."""
    if not place.admits or place.role != AGGREGATOR:
        return
    exchange, area = place.handshake(run), place.run_area(run)
    names = parse(area.keep("latecomers", canonical([late.party for late in place.admitted(run)])))
    for client in place.clients:
        if client in place.taking_part(run):
            exchange.send(HANDSHAKE["latecomers"], client, 0, {"client": names})
        else:
            exchange.send(HANDSHAKE["admission"], client, 0, {"admitted": False})
    copies = area.area("copies")
    for name in copies.names():
        copies.delete(name)


def hear_latecomers(place: Workplace, run: str, wait: Wait) -> None:
    """For everybody, before a training run is settled: who was admitted, with its key. Raises BadClosing or BadJoin."""
    if not place.admits or place.manifest(run).invitation.kind != "train":
        return
    exchange, area = place.handshake(run), place.run_area(run)
    if place.role == AGGREGATOR:
        names = parse(area.get("latecomers") or b"[]")
    else:
        table = hear(exchange, place.watch(run, wait, settling=True), HANDSHAKE["latecomers"], place.initiator).table
        names = table.column("client").to_pylist()
    for client in names:
        if client not in place.clients or client in place.agreed(run).parties:
            raise BadClosing(f"{client} cannot have come late.", party=place.initiator)
        if client != place.me:
            late = _read(place, run, exchange, client)
            if late is None:
                raise BadClosing(f"{client} has not joined late.", party=place.initiator)
            area.keep(f"admitted/{client}", canonical(late.document()))
            exchange.fetch(HANDSHAKE["join"], client, 0)  # an answer that was too late is booked by both sides too


def _outside(place: Workplace, run: str) -> list[str]:
    inside = place.taking_part(run)
    return [client for client in place.clients if client not in inside]


def _read(place: Workplace, run: str, exchange: Exchange, client: str) -> LateJoin | None:
    receipt = exchange.fetch(HANDSHAKE["late_join"], client, 0)
    if receipt is None:
        return None
    late = LateJoin.from_document(parse(receipt.table.column("document")[0].as_py()))
    if (late.party, late.run, late.manifest) != (client, run, place.agreed(run).digest):
        raise BadJoin(party=client)
    return late


def _send_copies(place: Workplace, run: str, client: str) -> None:
    """What all clients were sent so far, at the addresses that it has for each of them."""
    exchange, copies, protocol = place.exchange(run), place.run_area(run).area("copies"), place.terms.task.protocol
    for name in copies.names():
        round, step, message = name.split("/")
        table = pa.ipc.open_stream(pa.BufferReader(copies.get(name) or b"")).read_all()
        columns = {column: table.column(column).combine_chunks() for column in table.column_names}
        known = declared(protocol, message)
        assert known is not None
        exchange.send(replace(known, step=step), client, int(round), columns)
