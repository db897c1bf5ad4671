"""Operator that closes a run: books reconciled in pairs, contributions and rewards computed, one block signed by all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from operators.base import FederatedOperator
from operators.links import RunPageLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from fl_tasks.session import Progress
    from fl_tasks.waiting import Wait
    from fl_tasks.workplace import Workplace


class SettleOperator(FederatedOperator):
    """Settle the run with all parties. A failed settlement is no abort: cleared and tried again, it ends in the same block."""

    stage = "settle"
    operator_extra_links = (RunPageLink("Run page", ""),)

    def work(self, place: Workplace, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        from fl_tasks.stages.settle import settle

        return settle(place, run, wait, progress=progress)
