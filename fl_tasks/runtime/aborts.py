"""Aborts: a party that gives up a run sends its peers the reason, signed. They stop at their next step.

An abort says at which party and step the run failed first, with the code and its cause, but without the detail. A party that stops
because of a peer's abort publishes the same failure, not a new one. So every party reads who failed and why, even if it waits for
another party than the one that failed.

A party does not trust a failure that was only passed on. The party that failed publishes its own abort before anybody can pass it
on, so the reader looks for that abort and uses it. If it is not there or cannot be read, the text says "lab says that clinic
failed".

Text from a peer is made harmless before it is shown or passed on (:func:`harmless`). If this installation knows the code, it shows
its own cause and remedy. A remedy is never sent.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from tombolo.fl_tasks.runtime.waiting import PeerAborted
from tombolo.storage.errors import CodedError, Failure, known
from tombolo.storage.exchange import Exchange
from tombolo.storage.roles import EVERYONE
from tombolo.storage.schema import ForeignSchema, Message, MessageSet, Public, TooManyRows
from tombolo.storage.stores.base import StoreUnreachable, TooLarge

ABORT = MessageSet(
    "abort",
    Message(
        "abort",
        EVERYONE,
        EVERYONE,
        {
            "party": Public("string", "the party whose task failed first"),
            "step": Public("string", "the step in which it failed"),
            "code": Public("string", "the error code"),
            "cause": Public("string", "the fixed text of the error code"),
        },
        learns="which party failed, where, and for which coded reason",
        step="abort",
    ),
)
_CODE = re.compile(r"[A-Z]{2,20}-[A-Z]{1,20}-[0-9]{3}")  # TMB, or a plug-in's own prefix
_LONGEST_CAUSE, _LONGEST_STEP = 300, 60
_FOREIGN_IN_CAUSE, _FOREIGN_IN_STEP = re.compile(r"[^A-Za-z0-9_ .,';:()^%=+-]"), re.compile(r"[^A-Za-z0-9_.-]")


class TaskFailed(CodedError):
    code = "TMB-RUN-002"
    cause = "A task of this party failed, was cancelled or timed out, and its retries are used up."
    remedy = "Read the log of the failed task at the named party. Correct the cause there; then start a new run."


def harmless(said: Failure, members: Collection[str]) -> Failure:
    """Another party's failure, made safe for a log line or a page.

    The texts get a limited length, without markup, paths and control characters. If the failed party is not a member, the sender
    counts as the failed party. A code of a wrong form becomes TMB-RUN-002.
    """
    code, cause = (said.code, said.cause) if _CODE.fullmatch(said.code) else (TaskFailed.code, TaskFailed.cause)
    return Failure(
        party=said.party if said.party in members else said.by,
        step=_FOREIGN_IN_STEP.sub("?", said.step[:_LONGEST_STEP]),
        code=code,
        cause=_FOREIGN_IN_CAUSE.sub("?", cause[:_LONGEST_CAUSE]),
        by=said.by,
    )


def publish_abort(exchange: Exchange, failure: Failure) -> None:
    """Send the failure to every peer. If one was sent before, that one stays."""
    columns = {"party": failure.party, "step": failure.step, "code": failure.code, "cause": failure.cause}
    for peer in exchange.peers:
        exchange.send(ABORT["abort"], peer, 0, columns)


def read_abort(exchange: Exchange, peer: str) -> Failure | None:
    """The failure in a peer's abort, made harmless; None while there is no abort, or while the peer's store does not answer.

    An abort whose contents are out of bounds counts as an abort without a reason. Raises an error if the artifact is altered.
    """
    try:
        receipt = exchange.fetch(ABORT["abort"], peer, 0)
    except StoreUnreachable:
        return None
    except (ForeignSchema, TooLarge, TooManyRows):
        return Failure(peer, "", TaskFailed.code, TaskFailed.cause, by=peer)
    if receipt is None:
        return None
    said = {name: receipt.table.column(name)[0].as_py() for name in ABORT["abort"].columns}
    return harmless(Failure(**said, by=peer), {exchange.me.name, *exchange.peers})


def heard_abort(exchange: Exchange, peers: Iterable[str]) -> Failure | None:
    """The first abort of these peers for this run. If it was passed on, the failed party's own abort, where that can be read."""
    said = next((failure for peer in peers if (failure := read_abort(exchange, peer)) is not None), None)
    if said is None or said.by == said.party or said.party not in exchange.peers:
        return said
    try:
        own = read_abort(exchange, said.party)
    except CodedError:  # the run has ended, even if the failed party's own abort cannot be read
        return said
    return own if own is not None and own.by == own.party else said


def ended_by(failure: Failure, me: str) -> CodedError:
    """The error that ends a task of party ``me`` in an aborted run: this party's own failure again, or :class:`PeerAborted`."""
    if failure.by != me:
        return PeerAborted(failure)
    coded = known(failure.code) or TaskFailed
    usual = coded if coded.__init__ is CodedError.__init__ else TaskFailed  # a plug-in's class may need other arguments
    return usual("This party has given up the run.", party=me, step=failure.step)
