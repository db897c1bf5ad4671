"""Operator that aligns entities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from operators.base import FederatedOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from fl_tasks.session import Progress
    from fl_tasks.waiting import Wait
    from fl_tasks.workplace import Workplace


class AlignEntitiesOperator(FederatedOperator):
    """Find the common entities under encryption and store this party's aligned table privately."""

    stage = "align"

    def work(self, place: Workplace, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        from fl_tasks.stages.align import align

        return align(place, run, wait, progress=progress)
