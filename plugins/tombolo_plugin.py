"""Airflow plugin: the pages of a run (validation results, model card with its loss curve) under Airflow's own login."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.plugins_manager import AirflowPlugin
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import FileResponse, HTMLResponse, Response

from operators.links import PREFIX, RunPageLink
from operators.runs import agreement_of, run_name
from plugins.run_page import page

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".md": "text/plain; charset=utf-8",
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; font-src 'self'; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
}

app = FastAPI(title="Tombolo", docs_url=None, redoc_url=None, openapi_url=None)
may_read = Depends(requires_access_dag("GET"))


def run_folder(dag_id: str, run_id: str) -> Path:
    """The private folder of a run's pages at this party; 404 where there is none."""
    import os

    from contracts.settings import PartySettings

    found = agreement_of(dag_id)
    if found is None:
        raise HTTPException(404)
    agreement, kind = found
    run = run_name(run_id, kind)
    base = os.environ.get("TOMBOLO_DOCS") or PartySettings.load().folder / "docs"
    return _inside(Path(base), Path(base) / agreement / run)


@app.get("/runs/{dag_id}/{run_id}/", dependencies=[may_read])
def run_page(dag_id: str, run_id: str) -> Response:
    """The run's page: model card, and what else there is to look at."""
    return HTMLResponse(page(run_folder(dag_id, run_id)), headers=_HEADERS)


@app.get("/runs/{dag_id}/{run_id}/{path:path}", dependencies=[may_read])
def run_file(dag_id: str, run_id: str, path: Annotated[str, "relative"]) -> Response:
    """One file of the run's folder."""
    folder = run_folder(dag_id, run_id)
    file = _inside(folder, folder / path)
    if not file.is_file() or file.suffix not in _KINDS:
        raise HTTPException(404)
    return FileResponse(file, media_type=_KINDS[file.suffix], headers=_HEADERS)


def _inside(base: Path, path: Path) -> Path:
    """``path`` with all links resolved, if it exists under ``base``; anything else is not found."""
    try:
        resolved = path.resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        raise HTTPException(404) from None
    if not resolved.is_relative_to(base.resolve()) or any(
        part.startswith(".") for part in resolved.relative_to(base.resolve()).parts
    ):
        raise HTTPException(404)
    return resolved


class TomboloPlugin(AirflowPlugin):
    """Registers the pages, their tab on every DAG run, and the links on tasks."""

    name = "tombolo"
    fastapi_apps: ClassVar[list[Any]] = [{"app": app, "url_prefix": PREFIX, "name": "Tombolo run pages"}]
    external_views: ClassVar[list[Any]] = [
        {
            "name": "Federation",
            "href": f"{PREFIX}/runs/{{DAG_ID}}/{{RUN_ID}}/",
            "destination": "dag_run",
            "url_route": "federation",
        }
    ]
    operator_extra_links: ClassVar[list[Any]] = [RunPageLink("Data Docs", "validation"), RunPageLink("Model card", "card")]
