"""Links from a task to the pages of the console, which need Airflow's login."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import attrs
from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

PREFIX = "/tombolo"


@attrs.define()
class RunPageLink(BaseOperatorLink):
    """A link to one part of a run's page."""

    label: str = "Run page"
    anchor: str = ""

    @property
    def name(self) -> str:
        """The text on the button."""
        return self.label

    @property
    def xcom_key(self) -> str:
        """The XCom key under which Airflow stores the link; each link has another key."""
        return f"_link_{self.anchor or 'run'}"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address of this part of the run's page."""
        return f"{PREFIX}/runs/{quote(ti_key.dag_id)}/{quote(ti_key.run_id, safe='')}/#{self.anchor}"
