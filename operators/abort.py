"""Operator that tells the peers why this party gives a run up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from tombolo.operators.base import ERROR_KEY, FederatedOperator
from tombolo.storage.errors import REGISTRY, CodedError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.session import Progress
    from tombolo.fl_tasks.runtime.waiting import Wait


class AbortOperator(FederatedOperator):
    """Runs when a task before it has finally failed: publishes the signed abort with that task's code, then fails itself.

    Skipped in a run that goes well, so the run's state is that of its last task.
    """

    stage = "abort"

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trigger_rule", "one_failed")
        super().__init__(**kwargs)

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> None:
        """Publish the failed task's abort; always fails."""
        from tombolo.fl_tasks.workflow.abort import TaskFailed, abort

        upstream = sorted(self.upstream_task_ids)
        records = [one for one in context["ti"].xcom_pull(task_ids=upstream, key=ERROR_KEY) or [] if one]
        error = coded(records[0]) if records else TaskFailed(party=party.me)
        code = abort(party, run, error, step=error.step)
        raise AirflowFailException(f"{code}: the peers have been told")


def coded(record: dict[str, Any]) -> CodedError:
    """The error of a failed task, from what the task left behind."""
    import tombolo.fl_tasks.workflow.validate  # noqa: F401 - all stages define their codes when imported
    from tombolo.fl_tasks.workflow.abort import TaskFailed

    return REGISTRY.get(record["code"], TaskFailed)(party=record["party"], step=record["step"])
