"""Operator that trains one leg of rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException, DownstreamTasksSkipped

from tombolo.operators.base import FederatedOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.session import Progress
    from tombolo.fl_tasks.runtime.waiting import Wait


class TrainModelOperator(FederatedOperator):
    """Train rounds ``leg[0]`` to ``leg[1]``, from the last checkpoint. Without ``leg``, train all rounds.

    When training is over (it converged, or reached the run's number of rounds), the later legs are skipped. This happens at all
    parties in the same leg, because training ends in the same round at all of them.
    """

    stage = "train"

    def __init__(self, *, leg: tuple[int, int] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.leg = leg

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        """Train; returns the last finished round, whether training is over, and the losses."""
        from tombolo.fl_tasks.workflow.train import train

        first, last = self.leg or (1, None)
        facts = train(party, run, wait, leg_end=last, progress=progress)
        if facts["finished"] and facts["round"] < first:
            raise AirflowSkipException("training was over before this leg")
        later = self._later_legs() if facts["finished"] else []
        if later:
            context["ti"].xcom_push(key="return_value", value=facts)
            raise DownstreamTasksSkipped(tasks=later)
        return facts

    def _later_legs(self) -> list[str]:
        following = (task for task in self.get_flat_relatives(upstream=False) if isinstance(task, TrainModelOperator))
        return sorted(task.task_id for task in following if task.agreement == self.agreement)
