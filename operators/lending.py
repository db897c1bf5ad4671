"""Operators of the lending query: build an index of the lenders' customers, and ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tombolo.operators.base import FederatedOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.session import Progress
    from tombolo.fl_tasks.runtime.waiting import Wait


class BuildQueryIndexOperator(FederatedOperator):
    """Take part in building an index of all lenders' customers. The arbiter can match pseudonyms with it, but cannot read it."""

    stage = "index"

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> Any:
        """Build; returns facts about the index and who takes part."""
        from tombolo.fl_tasks.workflow.parts import stage_function

        return stage_function(party.terms.task, self.stage)(party, run, wait, progress=progress)


class PrivateQueryOperator(FederatedOperator):
    """Take part in a query. Questions and answers stay in the private area of the asking party; the XCom has only their number."""

    stage = "query"

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> Any:
        """Ask; returns the index that was asked and the number of questions."""
        from tombolo.fl_tasks.workflow.parts import stage_function

        return stage_function(party.terms.task, self.stage)(party, run, wait, progress=progress)
