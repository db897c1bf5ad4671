"""Operator that deletes what has outlived the agreement's retention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from operators.base import fail
from storage.errors import CodedError

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
        from fl_tasks.stages.retain import retain
        from fl_tasks.workplace import Workplace

        try:
            return {name: retain(Workplace.open(name)) for name in self.agreements}
        except CodedError as error:
            fail(error.at(step="retain"), context, retry=True)
