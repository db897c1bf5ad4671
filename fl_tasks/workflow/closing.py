"""Closing of joining, where a run may begin without some clients: the aggregator lists who takes part, and every client checks it.

A client refuses a list that is wrong. The list may name only clients of the agreement, and at least as many as the threshold of
sums. For each client on it, the reader has that client's own signed join or refusal. Before the deadline, no client may be missing.
If the aggregator sends two different lists, they lead to two manifests, and neither is signed by all parties.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tombolo.agreements.manifest import Closing, Decline, Invitation, Join
from tombolo.fl_tasks.learning.horizontal.secagg.lists import LEAST_SURVIVORS
from tombolo.fl_tasks.runtime.context import Absent, PartyContext
from tombolo.fl_tasks.runtime.record import enter, enter_run
from tombolo.fl_tasks.runtime.state import CLOSING, JOIN
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.workflow.handshake import HANDSHAKE, hear, read_answer
from tombolo.storage.canonical import canonical, parse
from tombolo.storage.errors import CodedError
from tombolo.storage.exchange import Exchange
from tombolo.storage.moments import moment, require_past
from tombolo.storage.roles import CLIENT
from tombolo.storage.stores.base import StoreUnreachable, holds


class Late(Exception):
    """Joining was closed without this client; it may still ask to be admitted."""


class TooFewJoined(CodedError):
    code = "TMB-RUN-010"
    cause = "Fewer clients have joined the run than its secure sums need; the run has not begun."
    remedy = "Start a new run when more clients can take part. The terms' deadlines.join says how long clients have to join."


class BadClosing(CodedError):
    code = "TMB-RUN-011"
    cause = (
        "The aggregator's list of participants is wrong: it names parties that have not joined, or joining was closed too early."
    )
    remedy = (
        "This client does not sign the list. Install the same version of Tombolo at all parties and start a new run. If it happens "
        "again, ask the aggregator."
    )


class LeftOut(CodedError):
    code = "TMB-RUN-012"
    cause = "The aggregator left this party out, although it had joined in time, or reports a refusal that it did not send."
    remedy = (
        "Ask the aggregator. This party's signed join and the aggregator's signed list are in the two stores; the record names the "
        "addresses of both."
    )


def refuse_absent(context: PartyContext, invited: Invitation, exchange: Exchange) -> None:
    """Raise Absent or :class:`Late` at a client that has declined the run, or that comes after joining was closed."""
    state = context.state(invited.run)
    if context.role == CLIENT:
        if CLOSING not in state and JOIN not in state:
            receipt = exchange.fetch(HANDSHAKE["closing"], context.initiator, 0)
            if receipt is None:
                return
            _keep(context, invited, receipt.table.column("document")[0].as_py())
        closing = state.get(CLOSING)
        if closing is not None:
            _require_place(context, invited, closing)
        elif context.absent(invited.run):
            raise Absent(f"Run {invited.run} was declined.", party=context.me)


def attending(context: PartyContext, invited: Invitation, exchange: Exchange, wait: Wait) -> list[Join]:
    """The joins of all others who take part, by the aggregator's list.

    Raises :class:`TooFewJoined`, :class:`BadClosing`, :class:`LeftOut`, :class:`Late`, Absent, or the errors of waiting.
    """
    if context.me == context.initiator:
        closing = _close(context, invited, exchange, wait)
    else:
        closing = heard_closing(context, invited, exchange, wait)
        _require_place(context, invited, closing)
    return joins_of(context, invited, exchange, closing)


def heard_closing(context: PartyContext, invited: Invitation, exchange: Exchange, wait: Wait) -> Closing:
    """Wait for the aggregator's list, check it and keep it."""
    state = context.state(invited.run)
    if CLOSING not in state:
        patience = context.terms.deadlines.join + context.terms.deadlines.message
        receipt = hear(exchange, context.watch(invited.run, wait, deadline=patience), HANDSHAKE["closing"], context.initiator)
        _keep(context, invited, receipt.table.column("document")[0].as_py())
    return state[CLOSING]


def note_absence(context: PartyContext, invited: Invitation, answer: str, **facts: Any) -> None:
    """Record that a run begins without this party. If something is recorded already, that stays."""
    enter_run(context, invited.run, invited.kind, manifest=None, initiator=invited.initiator, approvers={})
    enter(context, invited.run, "absence", context.me, answer=answer, **facts)


def joins_of(context: PartyContext, invited: Invitation, exchange: Exchange, closing: Closing) -> list[Join]:
    """The joins that a list names, each read from its sender's store, without this party's own. Raises :class:`BadClosing`.

    A client sends its answer to the aggregator last. So a client that is on the list has sent its answer to everybody.
    """
    others = [peer for peer in (context.initiator, *closing.joined, *closing.declined) if peer != context.me]
    answers = {peer: read_answer(invited, exchange, peer) for peer in others}
    for peer, answer in answers.items():
        if not isinstance(answer, Decline if peer in closing.declined else Join):
            raise BadClosing(f"{peer} has not {'declined' if peer in closing.declined else 'joined'}.", party=context.initiator)
    return [answer for answer in answers.values() if isinstance(answer, Join)]


def _close(context: PartyContext, invited: Invitation, exchange: Exchange, wait: Wait) -> Closing:
    """At the aggregator: wait until all have answered or the deadline has passed, keep the list, and send it to every client."""
    state, message = context.state(invited.run), HANDSHAKE["join"]
    if CLOSING not in state:
        answers: dict[str, Join | Decline] = {}

        def answered() -> list[str]:
            for client in context.clients:
                answer = answers.get(client) or _usable(context, invited, exchange, client)
                if answer is not None:
                    answers[client] = answer
            return [client for client in context.clients if client in answers]

        key, seconds = exchange.address(message.name, context.me, 0, message.step).head(), context.terms.deadlines.join
        context.watch(invited.run, wait).gather(answered, context.clients, seconds, message.name, key)
        closed = datetime.now(UTC)  # taken before the last look, so that every answer up to this time is in the list
        there = answered()
        fresh = Closing(
            run=invited.run,
            invitation_digest=invited.digest,
            joined=tuple(client for client in there if isinstance(answers[client], Join)),
            declined=tuple(client for client in there if isinstance(answers[client], Decline)),
            closed=closed.isoformat(),
        )
        state.keep(CLOSING, fresh)
    closing = state[CLOSING]
    _enough(context, closing)
    for client in context.clients:
        exchange.send(HANDSHAKE["closing"], client, 0, {"document": canonical(closing.document())})
    return closing


def _usable(context: PartyContext, invited: Invitation, exchange: Exchange, client: str) -> Join | Decline | None:
    """A client's answer. A wrong answer counts as missing, so that it does not stop the others; the record names the client."""
    try:
        return read_answer(invited, exchange, client)
    except StoreUnreachable:
        return None
    except CodedError as error:
        enter(context, invited.run, "finding", client, code=error.code, addresses=[])
        return None


def _keep(context: PartyContext, invited: Invitation, document: bytes) -> None:
    """Check the aggregator's list and keep it. Raises :class:`BadClosing` or :class:`TooFewJoined`."""
    closing = Closing.from_document(parse(document))
    joined, declined = set(closing.joined), set(closing.declined)
    ordered = all(
        list(names) == [client for client in context.clients if client in set(names)]
        for names in (closing.joined, closing.declined)
    )
    if (closing.run, closing.invitation_digest) != (invited.run, invited.digest) or not ordered or joined & declined:
        raise BadClosing(party=context.initiator)
    missing = [client for client in context.clients if client not in joined | declined]
    apart, ends = _clocks(context), _deadline(context, invited)
    require_past(moment(closing.closed), apart.total_seconds(), "Joining was closed", context.initiator)
    if missing and (moment(closing.closed) < ends or datetime.now(UTC) + apart < ends):
        raise BadClosing(f"It was closed before the deadline, without {', '.join(missing)}.", party=context.initiator)
    _enough(context, closing)
    context.state(invited.run).keep(CLOSING, closing)


def _enough(context: PartyContext, closing: Closing) -> None:
    assert context.terms.task.horizontal_terms is not None
    least = max(context.terms.task.horizontal_terms.threshold_of(len(context.clients)), LEAST_SURVIVORS)
    if len(closing.joined) < least:
        raise TooFewJoined(f"{len(closing.joined)} have joined; at least {least} are needed.", party=context.initiator)


def _require_place(context: PartyContext, invited: Invitation, closing: Closing) -> None:
    """At a client that is not listed as joined: raise :class:`LeftOut`, :class:`Late` or Absent.

    Raises BadClosing at a client that is listed as joined but has not joined.
    """
    run, answer = closing.run, context.state(closing.run).get(JOIN)
    declined = answer is not None and "decliner" in answer
    joined = answer is not None and not declined
    if context.me in closing.joined:
        if not joined:
            raise BadClosing(f"{context.me} has not joined.", party=context.initiator)
        return
    facts = {"closed": closing.closed, "joined": list(closing.joined)}
    if (context.me in closing.declined and not declined) or (joined and _in_time(context, closing)):
        note_absence(context, invited, answer="left out", **facts)
        addresses = [_address(context, run, "join", context.initiator), _address(context, run, "closing", context.me)]
        enter(context, run, "finding", context.initiator, code=LeftOut.code, addresses=addresses)
        raise LeftOut(f"Joining of run {run} was closed at {closing.closed}.", party=context.initiator)
    if context.admits and invited.kind == "train" and not declined:
        raise Late
    note_absence(context, invited, answer="late", **facts)
    raise Absent(f"Run {run} takes place with {', '.join(closing.joined)}.", party=context.me)


def _in_time(context: PartyContext, closing: Closing) -> bool:
    """Whether this client's join was in its store before joining was closed, with a margin for the difference of two clocks."""
    key = f"{_address(context, closing.run, 'join', context.initiator)}/head"
    return holds(context.store, key) and context.store.stat(key).modified + _clocks(context) < moment(closing.closed)


def _address(context: PartyContext, run: str, message: str, recipient: str) -> str:
    return context.handshake(run).address(message, recipient, 0, HANDSHAKE[message].step).prefix()


def _clocks(context: PartyContext) -> timedelta:
    """How much the aggregator's clock and this client's clock may differ: a small part of the time for joining."""
    deadlines = context.terms.deadlines
    return timedelta(seconds=min(deadlines.clocks, deadlines.join / 10))


def _deadline(context: PartyContext, invited: Invitation) -> datetime:
    return moment(invited.created) + timedelta(seconds=context.terms.deadlines.join)
