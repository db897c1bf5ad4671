"""Operator that monitors a published model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from tombolo.operators.base import FederatedOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.session import Progress
    from tombolo.fl_tasks.runtime.waiting import Wait


class MonitorOperator(FederatedOperator):
    """Record live metrics and the drift of scores of the latest published model. Skipped if there is nothing to monitor."""

    stage = "monitor"

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        """Monitor; returns the metrics and the drift."""
        from tombolo.fl_tasks.models.registry import NoSuchModel
        from tombolo.fl_tasks.workflow.monitor import NothingToMonitor, monitor

        try:
            return monitor(party, run, wait, progress=progress)
        except (NothingToMonitor, NoSuchModel) as nothing:
            raise AirflowSkipException(nothing.code) from None
