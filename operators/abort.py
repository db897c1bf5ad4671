"""Operator that tells the peers why this party gives a run up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from tombolo.operators.base import ERROR_KEY, FederatedOperator
from tombolo.storage.errors import Failure

if TYPE_CHECKING:
    from airflow.sdk import Context

    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.session import Progress
    from tombolo.fl_tasks.runtime.waiting import Wait


class AbortOperator(FederatedOperator):
    """Runs when a task before it has finally failed: publishes what that task left behind, signed, then fails itself with it.

    Skipped in a run that goes well, so the run's state is that of its last task.
    """

    stage = "abort"

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trigger_rule", "one_failed")
        super().__init__(**kwargs)

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> None:
        """Publish the failed task's abort; always fails."""
        from tombolo.fl_tasks.workflow.abort import give_up

        told = give_up(party, run, self._failure(context, party.me))
        text = f"{told} Remedy: {told.remedy} The peers have been told."
        self.log.error("%s", text)
        raise AirflowFailException(text)

    def _failure(self, context: Context, me: str) -> Failure:
        """What a failed task left behind, one of this party's own rather than a peer's.

        A task that was cancelled, killed or ran out of time leaves nothing; what is known of it is its name.
        """
        from tombolo.fl_tasks.runtime.aborts import TaskFailed

        ti, upstream = context["ti"], sorted(self.upstream_task_ids)
        left = [Failure(**one) for one in ti.xcom_pull(task_ids=upstream, key=ERROR_KEY) or [] if one]
        if left:
            own = next((one for one in left if one.party in ("", me)), left[0])
            return Failure(own.party or me, own.step, own.code, own.cause, own.by or me)
        states = ti.get_task_states(dag_id=ti.dag_id, task_ids=upstream, run_ids=[ti.run_id]).get(ti.run_id, {})
        failed = next((task for task in upstream if states.get(task) == "failed"), "")
        return TaskFailed(step=failed.split(".")[0]).failure(me)
