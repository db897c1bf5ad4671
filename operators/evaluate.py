"""Operator that evaluates the trained model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tombolo.operators.base import FederatedOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.session import Progress
    from tombolo.fl_tasks.runtime.waiting import Wait


class EvaluateModelOperator(FederatedOperator):
    """Measure the model on held-out rows; the task fails where the agreement's quality gate is missed."""

    stage = "evaluate"

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        """Returns metrics, number of held-out rows and the gate's verdict."""
        from tombolo.fl_tasks.workflow.evaluate import evaluate

        return evaluate(party, run, wait, progress=progress)
