"""Operator that tells the peers why this party aborts a run."""

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
    """Runs when an earlier task has failed and is not tried again. Sends that failure to the peers, signed, and then fails too.

    In a run without failures it is skipped, so the state of the run is the state of its last task.
    """

    stage = "abort"

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trigger_rule", "one_failed")
        super().__init__(**kwargs)

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> None:
        """Send the failure to the peers. Always fails, with AirflowFailException."""
        from tombolo.fl_tasks.workflow.abort import give_up

        failure = give_up(party, run, self._failure(context, party.me))
        text = f"{failure} Remedy: {failure.remedy} The peers have been told."
        self.log.error("%s", text)
        raise AirflowFailException(text)

    def _failure(self, context: Context, me: str) -> Failure:
        """The failure of a task before; a failure of this party comes before a failure of a peer.

        A task that was cancelled or killed, or that ran out of time, reports no failure; then only its name is known.
        """
        from tombolo.fl_tasks.runtime.aborts import TaskFailed

        ti, upstream = context["ti"], sorted(self.upstream_task_ids)
        documents = ti.xcom_pull(task_ids=upstream, key=ERROR_KEY) or []
        failures = [Failure(**document) for document in documents if document]
        if failures:
            failure = next((failure for failure in failures if failure.party in ("", me)), failures[0])
            return Failure(failure.party or me, failure.step, failure.code, failure.cause, failure.by or me)
        states = ti.get_task_states(dag_id=ti.dag_id, task_ids=upstream, run_ids=[ti.run_id]).get(ti.run_id, {})
        failed = next((task for task in upstream if states.get(task) == "failed"), "")
        return TaskFailed(step=failed.split(".")[0]).failure(me)
