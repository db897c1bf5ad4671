"""Operator that deletes what has outlived the agreement's retention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from tombolo.operators.base import fail
from tombolo.storage.errors import CodedError

if TYPE_CHECKING:
    from airflow.sdk import Context


class RetainOperator(BaseOperator):
    """Delete this party's artifacts and private remains of runs that were settled long enough ago, in each of its agreements.

    :param agreements: names of the agreements' folders
    """

    ui_color = "#e0ecf4"

    def __init__(self, *, agreements: list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.agreements = agreements

    def execute(self, context: Context) -> dict[str, Any]:
        """Erase in every agreement; one agreement's trouble does not stop the others."""
        from tombolo.fl_tasks.runtime.context import PartyContext
        from tombolo.fl_tasks.workflow.retain import retain

        found: dict[str, Any] = {}
        failures = []
        for name in self.agreements:
            try:
                found[name] = retain(PartyContext.open(name))
            except CodedError as error:  # one agreement's trouble must not keep what others have to delete
                failures.append(error)
        if failures:
            fail(failures[0].at(step="retain"), context)
        return found
