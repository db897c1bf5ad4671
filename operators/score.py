"""Operator that scores a client's own rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tombolo.operators.base import FederatedOperator
from tombolo.operators.publish import announce

if TYPE_CHECKING:
    from airflow.sdk import Context

    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.session import Progress
    from tombolo.fl_tasks.runtime.waiting import Wait


class ScoreOperator(FederatedOperator):
    """Score new rows of this client with a published version. The client holds the whole model, so no peer takes part."""

    stage = "score"

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        """Score; returns the version, the number of rows and the path of the file."""
        from tombolo.fl_tasks.workflow.score import score

        form = context["params"]
        as_of = form.get("as_of") or context["dag_run"].run_after.isoformat()
        facts = score(party, run, wait, progress=progress, version=form.get("model"), as_of=as_of)
        announce(self, context, facts)
        return facts
