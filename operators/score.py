"""Operator that scores a client's own rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from operators.base import FederatedOperator
from operators.publish import announce

if TYPE_CHECKING:
    from airflow.sdk import Context

    from fl_tasks.session import Progress
    from fl_tasks.waiting import Wait
    from fl_tasks.workplace import Workplace


class ScoreOperator(FederatedOperator):
    """Score new rows of this client with a published version, which it holds whole; nobody else takes part."""

    stage = "score"

    def work(self, place: Workplace, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        from fl_tasks.stages.score import score

        form = context["params"]
        as_of = form.get("as_of") or context["dag_run"].run_after.isoformat()
        facts = score(place, run, wait, progress=progress, version=form.get("model"), as_of=as_of)
        announce(self, context, facts)
        return facts
