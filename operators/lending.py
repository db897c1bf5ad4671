"""Operators of the lending query: lenders' customers become an index, and an asker's questions go through it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from operators.base import FederatedOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from fl_tasks.session import Progress
    from fl_tasks.waiting import Wait
    from fl_tasks.workplace import Workplace


class BuildQueryIndexOperator(FederatedOperator):
    """Take part in building an index of all lenders' customers, which the arbiter can match against and read nothing of."""

    stage = "index"

    def work(self, place: Workplace, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        from fl_tasks.stages.index import index

        return index(place, run, wait, progress=progress)


class PrivateQueryOperator(FederatedOperator):
    """Take part in a query. The asker's questions and answers stay in its private area; the XCom has their number."""

    stage = "query"

    def work(self, place: Workplace, run: str, wait: Wait, progress: Progress, context: Context) -> dict[str, Any]:
        from fl_tasks.stages.query import query

        return query(place, run, wait, progress=progress)
