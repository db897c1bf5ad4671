"""Index stage: lenders' customers become an index that the arbiter can match questions against, and read nothing of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from contracts.manifest import Invitation
from contracts.query import QueryTerms
from fl_tasks.ledger import enter
from fl_tasks.lending import guards
from fl_tasks.lending import index as protocol
from fl_tasks.lending.contract import INDEX
from fl_tasks.lending.customers import Customers
from fl_tasks.lending.keys import Epoch, Keeping
from fl_tasks.session import Progress, Session, log_progress
from fl_tasks.stages.align import pinned
from fl_tasks.stages.join import invite
from fl_tasks.waiting import Wait
from fl_tasks.workplace import Workplace
from storage.roles import GUEST, HOST


def propose_index(place: Workplace, run: str, update: bool = False, as_of: str | None = None) -> Invitation:
    """Invite to building an index with new keys or, with ``update``, to bringing the latest up to date where there is one."""
    epochs = Keeping(place.private.area("history")).epochs()
    return invite(place, run, "index", as_of=as_of, model=epochs[-1].run if epochs and update else None)


def index(place: Workplace, run: str, wait: Wait, progress: Progress = log_progress) -> dict[str, Any]:
    """Build an index with all lenders, or bring the one that the manifest names up to date; repeating it changes nothing.

    Returns ``{"epoch", "series", "lenders", "base"}``. Raises BadCustomers, NoIndex, BadDeposit and what waiting raises.
    """
    invited = place.manifest(run).invitation
    keeping = Keeping(place.private.area("history"))
    built = next((one for one in keeping.epochs() if one.run == run), None)
    if built is None:
        with place.session(run, INDEX, "index", wait, progress) as session:
            built = _build(place, session, invited.model, invited.created)
    keeping.succeed(keeping.epochs()[-1].series)
    guards.forget(keeping, _terms(place), datetime.now(UTC))
    enter(place, run, "index", run, series=built.series, lenders=built.lenders)
    return {"epoch": run, "series": built.series, "lenders": built.lenders, "base": built.base}


def _build(place: Workplace, session: Session, base: str | None, at: str) -> Epoch:
    now = datetime.now(UTC)
    if session.role == HOST:
        prepared = pinned(place, session.run)
        customers = Customers.of(prepared.table, prepared.ids, _terms(place))
        session.report(customers=len(customers.ids))
        return protocol.lender(session, customers, base, at, place.keys.vault.derive("lending customers"), now)
    return protocol.guest(session, base, at) if session.role == GUEST else protocol.arbiter(session, base, at, now)


def _terms(place: Workplace) -> QueryTerms:
    assert place.terms.task.query is not None
    return place.terms.task.query
