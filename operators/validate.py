"""Operator that validates this party's table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tombolo.operators.base import FederatedOperator
from tombolo.operators.links import RunPageLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.session import Progress
    from tombolo.fl_tasks.runtime.waiting import Wait


class ValidateDataOperator(FederatedOperator):
    """Check this party's table against its expectations, before anything of it is sent. The task links to the report."""

    stage = "validate"
    operator_extra_links = (RunPageLink("Data Docs", "validation"),)

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        """Validate; returns the numbers of rows and expectations, and the path of the report."""
        from tombolo.fl_tasks.workflow.validate import validate

        return validate(party, run, wait, progress=progress)
