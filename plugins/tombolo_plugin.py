"""The Airflow plugin: the federation console, in the navigation and as a tab of every DAG run, and links on tasks."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from tombolo.operators.links import PREFIX, RunPageLink
from tombolo.plugins.console.app import app


class TomboloPlugin(AirflowPlugin):
    """Adds the console to Airflow. It needs Airflow's login."""

    name = "tombolo"
    fastapi_apps: ClassVar[list[Any]] = [{"app": app, "url_prefix": PREFIX, "name": "Tombolo console"}]
    external_views: ClassVar[list[Any]] = [
        {
            "name": "Federation",
            "href": f"{PREFIX}/",
            "destination": "nav",
            "url_route": "federations",
            "nav_top_level": True,
            "icon": f"{PREFIX}/static/icon.svg",
            "icon_dark_mode": f"{PREFIX}/static/icon-dark.svg",
        },
        {
            "name": "Federation",
            "href": f"{PREFIX}/runs/{{DAG_ID}}/{{RUN_ID}}/",
            "destination": "dag_run",
            "url_route": "federation",
        },
    ]
    operator_extra_links: ClassVar[list[Any]] = [RunPageLink("Data Docs", "validation"), RunPageLink("Model card", "card")]
