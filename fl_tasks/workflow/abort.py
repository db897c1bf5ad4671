"""Abort stage: publish why this party gives up a run, and keep it."""

from __future__ import annotations

from tombolo.fl_tasks.runtime.aborts import TaskFailed, harmless, publish_abort
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.record import enter
from tombolo.fl_tasks.runtime.state import GIVEN_UP
from tombolo.fl_tasks.tables.state import PREPARED
from tombolo.storage.errors import CodedError, Failure


def abort(context: PartyContext, run: str, error: BaseException | str, step: str | None = None) -> Failure:
    """Give up a run because of an error at hand. What is not coded goes out as TMB-RUN-002, since its text could hold data."""
    coded = error if isinstance(error, CodedError) else TaskFailed()
    return give_up(context, run, coded.at(context.me, step).failure(context.me))


def give_up(context: PartyContext, run: str, failure: Failure) -> Failure:
    """Publish the abort of a run and enter it in the record; returns what was told. What this party told first stands.

    It is kept before the peers hear of it, so that their relays find it here (:meth:`PartyContext.aborted`).
    """
    told = context.state(run).keep(GIVEN_UP, harmless(failure, context.agreement.members))
    publish_abort(context.handshake(run), told)
    for chunk in context.state(run).all(PREPARED):
        context.state(run).delete(chunk)  # the table that was read for this run
    enter(context, run, "abort", context.me, **told.document())
    return told
