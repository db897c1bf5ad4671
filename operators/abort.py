"""Operator that tells the peers why this party gives a run up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from operators.base import ERROR_KEY, FederatedOperator
from storage.errors import REGISTRY, CodedError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from fl_tasks.session import Progress
    from fl_tasks.waiting import Wait
    from fl_tasks.workplace import Workplace


class AbortOperator(FederatedOperator):
    """Runs when a task before it has finally failed: publishes the signed abort with that task's code, then fails itself.

    Skipped in a run that goes well, so the run's state is that of its last task.
    """

    stage = "abort"

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trigger_rule", "one_failed")
        super().__init__(**kwargs)

    def work(self, place: Workplace, run: str, wait: Wait, progress: Progress, context: Context) -> None:
        from fl_tasks.stages.abort import TaskFailed, abort

        upstream = sorted(self.upstream_task_ids)
        records = [one for one in context["ti"].xcom_pull(task_ids=upstream, key=ERROR_KEY) or [] if one]
        error = coded(records[0]) if records else TaskFailed(party=place.me)
        code = abort(place, run, error, step=error.step)
        raise AirflowFailException(f"{code}: the peers have been told")


def coded(record: dict[str, Any]) -> CodedError:
    """The error of a failed task, from what the task left behind."""
    import fl_tasks.stages.validate  # noqa: F401 - all stages define their codes when imported
    from fl_tasks.stages.abort import TaskFailed

    return REGISTRY.get(record["code"], TaskFailed)(party=record["party"], step=record["step"])
