"""Abort stage: keep the reason why this party gives up a run, and publish it."""

from __future__ import annotations

from tombolo.fl_tasks.runtime.aborts import TaskFailed, harmless, publish_abort
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.record import enter
from tombolo.fl_tasks.runtime.state import GIVEN_UP
from tombolo.fl_tasks.tables.state import PREPARED
from tombolo.storage.errors import CodedError, Failure


def abort(context: PartyContext, run: str, error: BaseException | str, step: str | None = None) -> Failure:
    """Give up a run because of an error. An error without a code is sent as TMB-RUN-002, because its text could contain data."""
    coded = error if isinstance(error, CodedError) else TaskFailed()
    return give_up(context, run, coded.at(context.me, step).failure(context.me))


def give_up(context: PartyContext, run: str, failure: Failure) -> Failure:
    """Publish the abort of a run and enter it in the record; returns the failure that was sent. Only the first failure is sent.

    The failure is kept before it is sent. So this party keeps its own reason if a peer passes it on
    (:meth:`PartyContext.aborted`).
    """
    told = context.state(run).keep(GIVEN_UP, harmless(failure, context.agreement.members))
    publish_abort(context.handshake(run), told)
    for chunk in context.state(run).all(PREPARED):
        context.state(run).delete(chunk)  # the table that was read for this run
    enter(context, run, "abort", context.me, **told.document())
    return told
