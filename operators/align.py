"""Operator that aligns the data parties' ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tombolo.operators.base import FederatedOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.session import Progress
    from tombolo.fl_tasks.runtime.waiting import Wait


class AlignEntitiesOperator(FederatedOperator):
    """Find the ids that the data parties have in common, encrypted; store this party's aligned table in its private area."""

    stage = "align"

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        """Align; returns numbers of rows."""
        from tombolo.fl_tasks.workflow.align import align

        return align(party, run, wait, progress=progress)
