"""Operator that asks a person whether this party takes part in a run."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.exceptions import HITLRejectException
from airflow.providers.standard.operators.hitl import ApprovalOperator

from operators.base import fail
from storage.errors import CodedError

if TYPE_CHECKING:
    from airflow.sdk import Context


class Refused(CodedError):
    code = "TMB-RUN-007"
    cause = "A person of this party refused to take part in the run."
    remedy = "Ask that party; start a new run when it agrees."


class ApproveRunOperator(ApprovalOperator):
    """Airflow's approval, with a refusal that fails the task at once and reaches the peers with its own code.

    Retries are for accidents only: asking again is not a retry.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("retries", 2)
        kwargs.setdefault("retry_delay", timedelta(seconds=3))
        super().__init__(fail_on_reject=True, **kwargs)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        try:
            return super().execute_complete(context, event)
        except HITLRejectException:
            fail(Refused(step=self.task_id), context)
