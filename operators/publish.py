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
    """Register this party's part of the model as a version. Its assets get an event, which can start other DAGs."""

    stage = "publish"
    operator_extra_links = (RunPageLink("Model card", "card"),)

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        """Publish; returns facts about the version, which the asset event has too, in ``extra``."""
        from tombolo.fl_tasks.workflow.publish import publish

        facts = publish(party, run, wait, progress=progress)
        announce(self, context, facts)
        return facts


def announce(task: FederatedOperator, context: Context, facts: dict[str, Any]) -> None:
    """Add the facts to the asset events of the task."""
    for asset in task.outlets:
        context["outlet_events"][asset].extra = facts
