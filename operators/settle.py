"""Operator that closes a run: books reconciled in pairs, contributions and rewards computed, one block signed by all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tombolo.operators.base import FederatedOperator
from tombolo.operators.links import RunPageLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.session import Progress
    from tombolo.fl_tasks.runtime.waiting import Wait


class SettleOperator(FederatedOperator):
    """Settle the run with all parties. A failed settlement is no abort: cleared and tried again, it ends in the same block."""

    stage = "settle"
    operator_extra_links = (RunPageLink("Run page", ""),)

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        """Returns the block's facts."""
        from tombolo.fl_tasks.workflow.settle import settle

        return settle(party, run, wait, progress=progress)
