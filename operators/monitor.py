"""Operator that monitors a published model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from operators.base import FederatedOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from fl_tasks.session import Progress
    from fl_tasks.waiting import Wait
    from fl_tasks.workplace import Workplace


class MonitorOperator(FederatedOperator):
    """Book live metrics and the drift of scores of the latest published model; skipped while there is nothing to look at."""

    stage = "monitor"

    def work(self, place: Workplace, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        from fl_tasks.models.registry import NoSuchModel
        from fl_tasks.stages.monitor import NothingToMonitor, monitor

        try:
            return monitor(place, run, wait, progress=progress)
        except (NothingToMonitor, NoSuchModel) as nothing:
            raise AirflowSkipException(nothing.code) from None
