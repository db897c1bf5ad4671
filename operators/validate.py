"""Operator that validates this party's table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from operators.base import FederatedOperator
from operators.links import RunPageLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from fl_tasks.session import Progress
    from fl_tasks.waiting import Wait
    from fl_tasks.workplace import Workplace


class ValidateDataOperator(FederatedOperator):
    """Check this party's table against its expectations before anything leaves; the pages are linked on the task."""

    stage = "validate"
    operator_extra_links = (RunPageLink("Data Docs", "validation"),)

    def work(self, place: Workplace, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        from fl_tasks.stages.validate import validate

        return validate(place, run, wait, progress=progress)
