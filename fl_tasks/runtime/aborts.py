"""Aborts: a party that gives up a run tells its peers why, signed, so that they stop at their next step.

An abort says at which party and step the run failed first, with which code and cause, and no detail. A party that stops because
of a peer's abort publishes that same failure, not one of its own: in a chain of waiting parties the next one may hear of it only
here, and reads who failed and why, however many have passed it on.

A relay is not believed on its word. The origin publishes its own abort before anybody can pass it on, so whoever hears a relay
looks for it at the origin, and goes by it. Where it is not there or cannot be read, the text says "lab says that clinic failed".

What a peer sends is made harmless before it is shown or passed on (:func:`harmless`). Cause and remedy of a code that is known here
are shown in this installation's own words; no remedy travels.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from tombolo.fl_tasks.runtime.waiting import PeerAborted
from tombolo.storage.errors import CodedError, Failure, known
from tombolo.storage.exchange import Exchange
from tombolo.storage.roles import EVERYONE
from tombolo.storage.schema import Message, MessageSet, Public

ABORT = MessageSet(
    "abort",
    Message(
        "abort",
        EVERYONE,
        EVERYONE,
        {
            "party": Public("string", "whose task failed first"),
            "step": Public("string", "where it failed"),
            "code": Public("string", "why the run ends"),
            "cause": Public("string", "the code's text, the same for everybody"),
        },
        learns="which party failed, where, and for which coded reason",
        step="abort",
    ),
)
_CODE = re.compile(r"[A-Z]{2,20}-[A-Z]{1,20}-[0-9]{3}")  # TMB, or a plug-in's own prefix
_LONGEST_CAUSE, _LONGEST_STEP = 300, 60
_FOREIGN_IN_CAUSE, _FOREIGN_IN_STEP = re.compile(r"[^A-Za-z0-9 .,';:()^%=+-]"), re.compile(r"[^A-Za-z0-9_.-]")


class TaskFailed(CodedError):
    code = "TMB-RUN-002"
    cause = "A task of this party failed, was cancelled or timed out, and its retries are used up."
    remedy = "Read that task's log at the party named; start a new run when it is mended."


def harmless(said: Failure, members: Collection[str]) -> Failure:
    """A failure that somebody else wrote, as harmless as a log line or a page needs it: plain words of bounded length, no markup,
    no path, no control character. Who is no member did not fail: the one who says so did. What has not the form of a code
    counts as TMB-RUN-002."""
    code, cause = (said.code, said.cause) if _CODE.fullmatch(said.code) else (TaskFailed.code, TaskFailed.cause)
    return Failure(
        party=said.party if said.party in members else said.by,
        step=_FOREIGN_IN_STEP.sub("?", said.step[:_LONGEST_STEP]),
        code=code,
        cause=_FOREIGN_IN_CAUSE.sub("?", cause[:_LONGEST_CAUSE]),
        by=said.by,
    )


def publish_abort(exchange: Exchange, failure: Failure) -> None:
    """Tell every peer, once; what was told first stands."""
    columns = {"party": failure.party, "step": failure.step, "code": failure.code, "cause": failure.cause}
    for peer in exchange.peers:
        exchange.send(ABORT["abort"], peer, 0, columns)


def read_abort(exchange: Exchange, peer: str) -> Failure | None:
    """What a peer's abort says, made harmless; None while there is none. Raises what is wrong with the artifact."""
    receipt = exchange.fetch(ABORT["abort"], peer, 0)
    if receipt is None:
        return None
    said = {name: next(iter(receipt.table.column(name).to_pylist()), "") for name in ABORT["abort"].columns}
    return harmless(Failure(**said, by=peer), {exchange.me.name, *exchange.peers})


def heard_abort(exchange: Exchange, peers: Iterable[str]) -> Failure | None:
    """The first abort that one of these peers has published for this run; for a relayed one the origin's own, if it is there."""
    said = next((found for peer in peers if (found := read_abort(exchange, peer)) is not None), None)
    if said is None or said.by == said.party or said.party not in exchange.peers:
        return said
    try:
        own = read_abort(exchange, said.party)
    except CodedError:  # the relay has ended the run, whether or not the origin can be asked
        return said
    return own if own is not None and own.by == own.party else said


def ended_by(failure: Failure, me: str) -> CodedError:
    """The error that a task of party ``me`` ends with in a run that ended so: its own again, or that a peer aborted."""
    if failure.by != me:
        return PeerAborted(failure)
    found = known(failure.code) or TaskFailed
    usual = found if found.__init__ is CodedError.__init__ else TaskFailed  # a plug-in's class may want other arguments
    return usual("This party gave the run up.", party=me, step=failure.step)
