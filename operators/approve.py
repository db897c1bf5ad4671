"""Operators that ask a person whether this party takes part in a run."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.exceptions import HITLRejectException, HITLTimeoutError
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowSkipException

from tombolo.operators.base import fail
from tombolo.operators.runs import run_name
from tombolo.storage.errors import CodedError

if TYPE_CHECKING:
    from airflow.sdk import Context


class Refused(CodedError):
    code = "TMB-RUN-007"
    cause = "A person at the party refused to take part in the run."
    remedy = "Ask the party for the reason; start a new run when it agrees."


class ApproveRunOperator(ApprovalOperator):
    """Airflow's approval. A refusal fails the task at once, and the peers learn it with its own code.

    Retries are only for technical failures. After a refusal the person is not asked again.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("retries", 2)
        kwargs.setdefault("retry_delay", timedelta(seconds=3))
        super().__init__(fail_on_reject=True, **kwargs)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Continue after the answer of a person."""
        try:
            return super().execute_complete(context, event)
        except HITLRejectException:
            fail(Refused(step=self.task_id), context)


class DeclinableRunOperator(ApproveRunOperator):
    """The approval of a run that may begin without this party. A refusal, or no answer in time, declines the run; no task fails.

    The tasks after it are skipped, except ``settle``, which stores the block that the other parties sign.
    """

    template_fields: Collection[str] = (*ApproveRunOperator.template_fields, "agreement", "run_id")

    def __init__(self, *, agreement: str, run_id: str = "{{ dag_run.run_id }}", kind: str = "train", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.agreement, self.run_id, self.kind = agreement, run_id, kind

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Continue after the answer of a person, or after the time for an answer."""
        try:
            return ApprovalOperator.execute_complete(self, context, event)
        except HITLRejectException:
            self._decline(event["responded_by_user"]["name"])
        except HITLTimeoutError:
            self._decline("nobody answered")

    def _decline(self, decliner: str) -> None:
        from tombolo.fl_tasks.runtime.context import PartyContext
        from tombolo.fl_tasks.workflow.absent import decline

        decline(PartyContext.open(self.agreement), run_name(self.run_id, self.kind), decliner)
        raise AirflowSkipException(f"declined: {decliner}")
