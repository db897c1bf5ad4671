"""The index stage: it turns the customers of all lenders into an index, which the arbiter can match but not read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tombolo.agreements.manifest import Invitation
from tombolo.fl_tasks.protocols.lending_query import guards
from tombolo.fl_tasks.protocols.lending_query import index as protocol
from tombolo.fl_tasks.protocols.lending_query.customers import Customers
from tombolo.fl_tasks.protocols.lending_query.keys import Epoch, Keeping
from tombolo.fl_tasks.protocols.lending_query.messages import INDEX
from tombolo.fl_tasks.protocols.lending_query.terms import QueryTerms
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.record import enter
from tombolo.fl_tasks.runtime.session import Progress, Session, log_progress
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.tables.prepared import pinned, unpin_validated
from tombolo.fl_tasks.workflow.join import invite
from tombolo.storage.roles import GUEST, HOST


def propose_index(context: PartyContext, run: str, update: bool = False, as_of: str | None = None) -> Invitation:
    """Invite to build an index with new keys. With ``update``, and if there is an index, invite to update the latest one."""
    epochs = Keeping(context.state()).epochs()
    return invite(context, run, "index", as_of=as_of, model=epochs[-1].run if epochs and update else None)


def proposed(context: PartyContext, run: str, form: Mapping[str, Any], as_of: str | None) -> Invitation:
    """Propose an index with the values of a trigger form."""
    return propose_index(context, run, update=bool(form.get("update")), as_of=as_of)


def index(context: PartyContext, run: str, wait: Wait, progress: Progress = log_progress) -> dict[str, Any]:
    """Build an index with all lenders, or update the index that the manifest names. A repeated call changes nothing.

    Returns ``{"epoch", "series", "lenders", "base"}``. Raises BadCustomers, NoIndex, BadDeposit, and the errors of waiting.
    """
    invited = context.manifest(run).invitation
    keeping = Keeping(context.state())
    built = next((epoch for epoch in keeping.epochs() if epoch.run == run), None)
    if built is None:
        with context.session(run, INDEX, "index", wait, progress) as session:
            built = _build(context, session, invited.model, invited.created)
    unpin_validated(context, run)
    keeping.succeed(keeping.epochs()[-1].series)
    guards.forget(keeping, _terms(context), datetime.now(UTC))
    enter(context, run, "index", run, series=built.series, lenders=built.lenders)
    return {"epoch": run, "series": built.series, "lenders": built.lenders, "base": built.base}


def _build(context: PartyContext, session: Session, base: str | None, at: str) -> Epoch:
    now = datetime.now(UTC)
    if session.role == HOST:
        prepared = pinned(context, session.run)
        customers = Customers.of(prepared.table, prepared.ids, _terms(context))
        session.report(customers=len(customers.ids))
        return protocol.lender(session, customers, base, at, context.keys.vault.derive("lending customers"), now)
    return protocol.guest(session, base, at) if session.role == GUEST else protocol.arbiter(session, base, at, now)


def _terms(context: PartyContext) -> QueryTerms:
    return context.terms.task.section(QueryTerms)
