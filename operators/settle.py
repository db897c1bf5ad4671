"""Operator that closes a run: compares books in pairs, computes contributions and rewards, and signs the block."""

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
    """Settle the run with all parties. A failed settlement does not abort the run: clear the task, and it makes the same block."""

    stage = "settle"
    operator_extra_links = (RunPageLink("Run page", ""),)

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        """Settle; returns facts about the block."""
        from tombolo.fl_tasks.workflow.settle import settle

        return settle(party, run, wait, progress=progress)
