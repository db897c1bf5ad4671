"""Operator that deletes what the agreements' retention does not keep any longer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from tombolo.operators.base import fail
from tombolo.storage.errors import CodedError

if TYPE_CHECKING:
    from airflow.sdk import Context


class RetainOperator(BaseOperator):
    """Delete this party's artifacts and private objects of runs that were settled long enough ago, in each of its agreements.

    :param agreements: names of the agreements' folders
    """

    ui_color = "#e0ecf4"

    def __init__(self, *, agreements: list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.agreements = agreements

    def execute(self, context: Context) -> dict[str, Any]:
        """Delete in every agreement; returns what was deleted. An error in one agreement does not stop the others."""
        from tombolo.fl_tasks.runtime.context import PartyContext
        from tombolo.fl_tasks.workflow.retain import retain

        deleted: dict[str, Any] = {}
        failures = []
        for name in self.agreements:
            try:
                deleted[name] = retain(PartyContext.open(name))
            except CodedError as error:  # the other agreements must still delete
                failures.append(error)
        if failures:
            fail(failures[0].at(step="retain"), context)
        return deleted
