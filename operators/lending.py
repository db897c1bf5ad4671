"""Operators of the lending query: lenders' customers become an index, and an asker's questions go through it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tombolo.operators.base import FederatedOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.session import Progress
    from tombolo.fl_tasks.runtime.waiting import Wait


class BuildQueryIndexOperator(FederatedOperator):
    """Take part in building an index of all lenders' customers, which the arbiter can match against and read nothing of."""

    stage = "index"

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> Any:
        """Returns what the index is, and who takes part."""
        from tombolo.fl_tasks.workflow.parts import stage_function

        return stage_function(party.terms.task, self.stage)(party, run, wait, progress=progress)


class PrivateQueryOperator(FederatedOperator):
    """Take part in a query. The asker's questions and answers stay in its private area; the XCom has their number."""

    stage = "query"

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> Any:
        """Returns the index that was asked and the number of questions."""
        from tombolo.fl_tasks.workflow.parts import stage_function

        return stage_function(party.terms.task, self.stage)(party, run, wait, progress=progress)
