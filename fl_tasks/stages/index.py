"""Index stage: lenders' customers become an index that the arbiter can match questions against, and read nothing of."""

from __future__ import annotations

from typing import Any

from fl_tasks.ledger import enter
from fl_tasks.lending import index as protocol
from fl_tasks.lending.contract import INDEX
from fl_tasks.lending.customers import Customers
from fl_tasks.lending.keys import Epoch, Keeping
from fl_tasks.session import Progress, Session, log_progress
from fl_tasks.stages.align import pinned
from fl_tasks.waiting import Wait
from fl_tasks.workplace import Workplace
from storage.roles import GUEST, HOST


def index(place: Workplace, run: str, wait: Wait, progress: Progress = log_progress) -> dict[str, Any]:
    """Build an index with all lenders, or bring the one that the manifest names up to date; repeating it changes nothing.

    Returns ``{"epoch", "series", "lenders", "base"}``. Raises BadCustomers, NoIndex, BadDeposit and what waiting raises.
    """
    invited = place.manifest(run).invitation
    built = next((one for one in Keeping(place.private.area("history")).epochs() if one.run == run), None)
    if built is None:
        with place.session(run, INDEX, "index", wait, progress) as session:
            built = _build(place, session, invited.model, invited.created)
    enter(place, run, "index", run, series=built.series, lenders=built.lenders)
    return {"epoch": run, "series": built.series, "lenders": built.lenders, "base": built.base}


def _build(place: Workplace, session: Session, base: str | None, at: str) -> Epoch:
    if session.role == HOST:
        query = place.terms.task.query
        assert query is not None
        prepared = pinned(place, session.run)
        customers = Customers.of(prepared.table, prepared.ids, query)
        session.report(customers=len(customers.ids))
        return protocol.lender(session, customers, base, at, place.keys.vault.derive("lending customers"))
    return (protocol.guest if session.role == GUEST else protocol.arbiter)(session, base, at)
