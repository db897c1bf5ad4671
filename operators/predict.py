"""Operator that predicts with a published model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tombolo.operators.base import FederatedOperator
from tombolo.operators.publish import announce

if TYPE_CHECKING:
    from airflow.sdk import Context

    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.session import Progress
    from tombolo.fl_tasks.runtime.waiting import Wait


class PredictOperator(FederatedOperator):
    """Score the aligned new rows with a published version. The parties named under ``scores`` in the terms get the scores."""

    stage = "predict"

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        """Predict; returns the version, the number of rows and the path of the file."""
        from tombolo.fl_tasks.workflow.predict import predict

        facts = predict(party, run, wait, progress=progress)
        announce(self, context, facts)
        return facts
