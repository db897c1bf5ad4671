"""Operator that predicts with a published model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from operators.base import FederatedOperator
from operators.publish import announce

if TYPE_CHECKING:
    from airflow.sdk import Context

    from fl_tasks.session import Progress
    from fl_tasks.waiting import Wait
    from fl_tasks.workplace import Workplace


class PredictOperator(FederatedOperator):
    """Score the aligned new rows with a published version; those whom the agreement names get the scores."""

    stage = "predict"

    def work(self, place: Workplace, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        from fl_tasks.stages.predict import predict

        facts = predict(place, run, wait, progress=progress)
        announce(self, context, facts)
        return facts
