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
    """Measure the model on the held-out rows. The task fails if the model does not reach the agreement's quality."""

    stage = "evaluate"

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        """Evaluate; returns the metrics, the number of held-out rows, and whether the quality is reached."""
        from tombolo.fl_tasks.workflow.evaluate import evaluate

        return evaluate(party, run, wait, progress=progress)
