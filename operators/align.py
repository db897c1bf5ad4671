"""Operator that aligns entities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tombolo.operators.base import FederatedOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.session import Progress
    from tombolo.fl_tasks.runtime.waiting import Wait


class AlignEntitiesOperator(FederatedOperator):
    """Find the common entities under encryption and store this party's aligned table privately."""

    stage = "align"

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        """Returns numbers of rows."""
        from tombolo.fl_tasks.workflow.align import align

        return align(party, run, wait, progress=progress)
