"""Operator that publishes the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tombolo.operators.base import FederatedOperator
from tombolo.operators.links import RunPageLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.session import Progress
    from tombolo.fl_tasks.runtime.waiting import Wait


class PublishModelOperator(FederatedOperator):
    """Register this party's part of the model as a version; its assets get an event that downstream DAGs can be scheduled on."""

    stage = "publish"
    operator_extra_links = (RunPageLink("Model card", "card"),)

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        """Returns the publication's facts, which are the asset event's extra too."""
        from tombolo.fl_tasks.workflow.publish import publish

        facts = publish(party, run, wait, progress=progress)
        announce(self, context, facts)
        return facts


def announce(task: FederatedOperator, context: Context, facts: dict[str, Any]) -> None:
    """Attach what was made to the events of the task's outlets."""
    for asset in task.outlets:
        context["outlet_events"][asset].extra = facts
