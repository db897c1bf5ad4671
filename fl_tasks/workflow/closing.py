"""Closing of joining, where a run may begin without some clients: the aggregator lists who takes part, and every client checks it.

A client refuses a list that is wrong. The list may name only clients of the agreement, and at least as many as the threshold of
sums. With the list come the signed joins and refusals of those on it. Before the deadline, no client may be missing.
If the aggregator sends two different lists, they lead to two manifests, of which at most one gets enough signatures.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tombolo.agreements.manifest import Closing, Decline, Invitation, Join
from tombolo.fl_tasks.runtime.context import Absent, PartyContext
from tombolo.fl_tasks.runtime.record import enter, enter_finding, enter_run
from tombolo.fl_tasks.runtime.state import CLOSING, JOIN
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.workflow.handshake import (
    HANDSHAKE,
    answer_of,
    clients_needed,
    columns_of,
    hear,
    read_answer,
    sign_answer,
    signed_row,
)
from tombolo.fl_tasks.workflow.state import ANSWERS
from tombolo.storage.canonical import canonical, parse
from tombolo.storage.errors import CodedError, blame
from tombolo.storage.exchange import Exchange, Receipt
from tombolo.storage.ledger.signed import Signed
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
            _keep(context, invited, exchange, receipt)
        closing = state.get(CLOSING)
        if closing is not None:
            _require_place(context, invited, closing)
        elif context.absent(invited.run):
            raise Absent(f"Run {invited.run} was declined.", party=context.me)


def attending(context: PartyContext, invited: Invitation, exchange: Exchange, wait: Wait) -> list[Join]:
    """The joins of all who take part, by the aggregator's list.

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
        _keep(context, invited, exchange, receipt)
    return state[CLOSING]


def note_absence(context: PartyContext, invited: Invitation, answer: str, **facts: Any) -> None:
    """Record that a run begins without this party. If something is recorded already, that stays."""
    enter_run(context, invited.run, invited.kind, manifest=None, initiator=invited.initiator, approvers={})
    enter(context, invited.run, "absence", context.me, answer=answer, **facts)


def joins_of(context: PartyContext, invited: Invitation, exchange: Exchange, closing: Closing) -> list[Join]:
    """The joins that a list names. They are those that the aggregator passes on with the list.

    So all parties use the same joins, whatever a client sends to whom. What the clients sent to this party is booked.
    """
    for peer in context.peers:
        _usable(context, invited, exchange, peer, set())
    answers = [answer_of(context, invited, one) for one in _kept_answers(context, invited.run)]
    return [answer for answer in answers if isinstance(answer, Join)]


def _close(context: PartyContext, invited: Invitation, exchange: Exchange, wait: Wait) -> Closing:
    """At the aggregator: wait until all have answered or the deadline has passed, keep the list, and send it to every client."""
    state, message = context.state(invited.run), HANDSHAKE["join"]
    if ANSWERS not in state:
        own: dict[str, Any] = state[JOIN]
        answers = {context.me: sign_answer(context, own)}
        wrong: set[str] = set()

        def answered() -> list[str]:
            for client in context.clients:
                if client not in answers and client not in wrong:
                    answer = _usable(context, invited, exchange, client, wrong)
                    if answer is not None:
                        answers[client] = answer
            return [client for client in context.clients if client in answers]

        key, seconds = exchange.address(message.name, context.me, 0, message.step).head(), context.terms.deadlines.join
        context.watch(invited.run, wait).gather(answered, context.clients, seconds, message.name, key)
        closed = datetime.now(UTC)  # taken before the last look, so that every answer up to this time is in the list
        there = [context.me, *answered()]
        state.keep(ANSWERS, {"closed": closed.isoformat(), "answers": [answers[party].to_json() for party in there]})
    kept = _kept_answers(context, invited.run)
    said = {one.party: answer_of(context, invited, one) for one in kept if one.party != context.me}
    fresh = Closing(
        run=invited.run,
        invitation_digest=invited.digest,
        joined=tuple(party for party, answer in said.items() if isinstance(answer, Join)),
        declined=tuple(party for party, answer in said.items() if isinstance(answer, Decline)),
        closed=state[ANSWERS]["closed"],
    )
    closing = state.keep(CLOSING, fresh)
    _enough(context, closing)
    passed_on = {"party": [one.party for one in kept], **columns_of(*kept)}
    for client in context.clients:
        exchange.send(HANDSHAKE["answers"], client, 0, passed_on)
        exchange.send(HANDSHAKE["closing"], client, 0, {"document": canonical(closing.document())})
    return closing


def _kept_answers(context: PartyContext, run: str) -> list[Signed]:
    return [Signed.from_json(one) for one in context.state(run)[ANSWERS]["answers"]]


def _usable(context: PartyContext, invited: Invitation, exchange: Exchange, peer: str, wrong: set[str]) -> Signed | None:
    """A party's answer. A wrong answer counts as missing, so that it does not stop the others; the record names the party.

    The party is added to ``wrong``.
    """
    try:
        return read_answer(context, invited, exchange, peer)
    except StoreUnreachable:
        return None
    except CodedError as error:
        wrong.add(peer)
        enter_finding(context, invited.run, peer, error.code)
        return None


def _keep(context: PartyContext, invited: Invitation, exchange: Exchange, receipt: Receipt) -> None:
    """Check the aggregator's list and the answers that it passes on, and keep both.

    Raises :class:`BadClosing` or :class:`TooFewJoined`.
    """
    with blame(context.initiator):
        closing = Closing.from_document(parse(receipt.table.column("document")[0].as_py()))
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
    answers = _passed_on(context, invited, exchange, closing)
    state = context.state(invited.run)
    state.keep(ANSWERS, {"closed": closing.closed, "answers": [one.to_json() for one in answers]})
    state.keep(CLOSING, closing)


def _passed_on(context: PartyContext, invited: Invitation, exchange: Exchange, closing: Closing) -> list[Signed]:
    """The answers that the aggregator passes on, which fit its list. Raises :class:`BadClosing`."""
    receipt = exchange.fetch(HANDSHAKE["answers"], context.initiator, 0)
    if receipt is None:
        raise BadClosing("The signed answers are missing.", party=context.initiator)
    listed = [context.initiator, *(client for client in context.clients if client in (*closing.joined, *closing.declined))]
    if receipt.table.column("party").to_pylist() != listed:
        raise BadClosing("The signed answers are not those of the parties on the list.", party=context.initiator)
    answers = []
    for row, party in enumerate(listed):
        try:
            signed = signed_row(receipt.table, row, party)
            answer = answer_of(context, invited, signed)
        except CodedError as error:
            raise BadClosing(f"The answer of {party} is wrong ({error.code}).", party=context.initiator) from None
        fits = isinstance(answer, Decline if party in closing.declined else Join)
        if not fits and party != context.me:  # this party's own place comes next, see _require_place
            raise BadClosing(f"{party} has not {'declined' if party in closing.declined else 'joined'}.", party=context.initiator)
        answers.append(signed)
    return answers


def _enough(context: PartyContext, closing: Closing) -> None:
    least = clients_needed(context)
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
        enter_finding(context, run, context.initiator, LeftOut.code, addresses)
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
