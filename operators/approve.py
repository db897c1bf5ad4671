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
        """Go on after a person's answer."""
        try:
            return super().execute_complete(context, event)
        except HITLRejectException:
            fail(Refused(step=self.task_id), context)


class DeclinableRunOperator(ApproveRunOperator):
    """The same where a run may begin without this party: a refusal, or nobody's answer in time, declines it, and nothing fails.

    The tasks after it are skipped; ``settle`` keeps the block that the others sign.
    """

    template_fields: Collection[str] = (*ApproveRunOperator.template_fields, "agreement", "run_id")

    def __init__(self, *, agreement: str, run_id: str = "{{ dag_run.run_id }}", kind: str = "train", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.agreement, self.run_id, self.kind = agreement, run_id, kind

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on after a person's answer, or nobody's."""
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
