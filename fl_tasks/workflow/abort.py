"""Abort stage: publish why this party gives a run up."""

from __future__ import annotations

from tombolo.fl_tasks.runtime.aborts import publish_abort
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.record import enter
from tombolo.fl_tasks.runtime.waiting import PeerAborted
from tombolo.storage.errors import CodedError


class TaskFailed(CodedError):
    code = "TMB-RUN-002"
    cause = "A task of this party failed, was cancelled or timed out, and its retries are used up."
    remedy = "Read that task's log at the party named; start a new run when it is mended."


def abort(context: PartyContext, run: str, error: BaseException | str, step: str | None = None) -> str:
    """Publish the abort artifact of a run; returns the code that went out.

    Anything but a coded error goes out as TMB-RUN-002, since its text could hold data. An abort heard from a peer is passed on:
    in a chain of waiting parties the next one may look only at us.
    """
    coded = error if isinstance(error, CodedError) else TaskFailed(party=context.me, step=step)
    if not isinstance(coded, PeerAborted):
        coded.at(context.me, step)
    publish_abort(context.handshake(run), coded)
    enter(context, run, "abort", context.me, code=coded.code, step=coded.step)
    return coded.code
