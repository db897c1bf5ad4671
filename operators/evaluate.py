"""Operator that evaluates the trained model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from operators.base import FederatedOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from fl_tasks.session import Progress
    from fl_tasks.waiting import Wait
    from fl_tasks.workplace import Workplace


class EvaluateModelOperator(FederatedOperator):
    """Measure the model on held-out rows; the task fails where the agreement's quality gate is missed."""

    stage = "evaluate"

    def work(self, place: Workplace, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        from fl_tasks.stages.evaluate import evaluate

        return evaluate(place, run, wait, progress=progress)
