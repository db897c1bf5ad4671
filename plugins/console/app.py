"""The routes of the console. All except the style sheet and the script check the user's rights in Airflow. None writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.exceptions import HTTPException as Refusal

from tombolo.operators.links import PREFIX
from tombolo.operators.runs import agreement_of, dag_of, run_name
from tombolo.plugins.console.airflow_side import FindRun, MayRead, may_read_dag
from tombolo.plugins.console.facts.artifacts import Filter
from tombolo.plugins.console.pages import DOCUMENT_HEADERS, FOLDER, HEADERS, STATIC, page
from tombolo.storage.errors import CodedError
from tombolo.storage.roles import CLIENT

if TYPE_CHECKING:
    from pathlib import Path

    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.plugins.console.facts.record import RecordIndex

app = FastAPI(title="Tombolo", docs_url=None, redoc_url=None, openapi_url=None)
Page = Annotated[int, Query(alias="page", ge=1, le=1_000_000)]
Word = Annotated[str, Query(max_length=200)]


@app.get("/static/{name}")
def static(name: str) -> Response:
    """The style sheet, the script and the icons. They contain nothing private, so no rights are checked."""
    if name not in STATIC:
        raise HTTPException(404)
    headers = {**HEADERS, "Cache-Control": "public, max-age=300"}
    return FileResponse(FOLDER / "static" / name, media_type=STATIC[name], headers=headers)


@app.get("/")
def overview(request: Request, may_read: MayRead, agreement: Word = "", at: Page = 1) -> Response:
    """All agreements with a training or index DAG that the user may read. ``page`` is the page of the runs of ``agreement``."""
    from tombolo.agreements.settings import PartySettings
    from tombolo.plugins.console.facts import agreements

    settings = PartySettings.load()
    names = [name for name in agreements.names(settings) if any(may_read(dag_of(name, kind)) for kind in ("train", "index"))]
    overviews = (agreements.overview(settings, name, at if name == agreement else 1) for name in names)
    shown = [overview for overview in overviews if overview is not None]
    return page("overview.html", **_site(request), party=settings.party, agreements=shown, dag_of=dag_of)


@app.get("/runs/{dag_id}/{run_id}/", dependencies=[may_read_dag])
def run_page(
    request: Request,
    dag_id: str,
    run_id: str,
    find: FindRun,
    book: Word = "sent",
    peer: Word = "",
    message: Word = "",
    at: Page = 1,
) -> Response:
    """The page of one run."""
    from tombolo.plugins.console import documents
    from tombolo.plugins.console.facts import artifacts, run

    context, record, name = _known(dag_id, run_id)
    folder = _folder(dag_id, run_id)
    booked = artifacts.traffic(context, record, name)
    return page(
        "run.html",
        **_site(request),
        **_names(context, dag_id, name),
        progress=run.progress(context, record, name),
        attendance=run.attendance(context, name),
        results=run.results(context, record, name),
        closing=run.closing(context, record, name),
        totals=artifacts.totals(context, booked),
        listing=artifacts.listing(context, name, booked, Filter(_book(book), peer, message, at)),
        dag_run=find(dag_id, name, agreement_of(dag_id)[1]),  # type: ignore[index]
        card=documents.card(folder),
        validation=documents.validation_pages(folder),
    )


@app.get("/runs/{dag_id}/{run_id}/live", dependencies=[may_read_dag])
def live(request: Request, dag_id: str, run_id: str) -> Response:
    """The part of a run's page that changes while the run goes on."""
    from tombolo.plugins.console.facts import artifacts, run

    context, record, name = _known(dag_id, run_id)
    facts: dict[str, Any] = {
        "progress": run.progress(context, record, name),
        "attendance": run.attendance(context, name),
        "totals": artifacts.totals(context, artifacts.traffic(context, record, name)),
    }
    return page("_live.html", **_site(request), **_names(context, dag_id, name), **facts)


@app.get("/runs/{dag_id}/{run_id}/artifacts", dependencies=[may_read_dag])
def artifact_rows(
    request: Request, dag_id: str, run_id: str, book: Word = "sent", peer: Word = "", message: Word = "", at: Page = 1
) -> Response:
    """One page of the table of artifacts."""
    from tombolo.plugins.console.facts import artifacts

    context, record, name = _known(dag_id, run_id)
    wanted = Filter(_book(book), peer, message, at)
    listing = artifacts.listing(context, name, artifacts.traffic(context, record, name), wanted)
    return page("_artifacts.html", **_site(request), **_names(context, dag_id, name), listing=listing)


@app.get("/runs/{dag_id}/{run_id}/{path:path}", dependencies=[may_read_dag])
def run_file(dag_id: str, run_id: str, path: str) -> Response:
    """One file that the run wrote for people, such as a validation page."""
    from tombolo.plugins.console import documents

    file = documents.file(_folder(dag_id, run_id), path)
    if file is None:
        raise HTTPException(404)
    return FileResponse(file, media_type=documents.KINDS[file.suffix], headers=DOCUMENT_HEADERS)


@app.exception_handler(CodedError)
def coded(request: Request, error: CodedError) -> Response:
    """A page with the cause of an error and its remedy."""
    return page("error.html", 503, **_site(request), error=error, title="This page cannot be shown now")


@app.exception_handler(Refusal)
def refused(request: Request, error: Refusal) -> Response:
    """A page for an address that does not exist. A user without the right to read gets only the status."""
    if error.status_code == 404:
        return page("error.html", 404, **_site(request), error=None, title="Page not found")
    return JSONResponse({"detail": error.detail}, error.status_code, headers=error.headers)


def _site(request: Request) -> dict[str, Any]:
    """The base addresses of the console and of its Airflow."""
    base = str(request.scope.get("root_path", "")).rstrip("/")
    return {"base": base, "airflow": base.removesuffix(PREFIX)}


def _names(context: PartyContext, dag_id: str, run: str) -> dict[str, Any]:
    """The names that a template gets; ``clients`` is empty unless the agreement is horizontal."""
    clients = [party for party, role in context.roles.items() if role == CLIENT]
    named = {"dag_id": dag_id, "run": run, "agreement": context.agreement.name, "me": context.me, "role": context.role}
    return {**named, "clients": clients}


def _book(asked: str) -> str:
    return "received" if asked == "received" else "sent"


def _known(dag_id: str, run_id: str) -> tuple[PartyContext, RecordIndex, str]:
    """The party context, the record and the run's id, of a run that this party knows under this DAG; 404 for any other run."""
    from tombolo.agreements.settings import PartySettings
    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.plugins.console.facts import agreements, record, run

    named = agreement_of(dag_id)
    if named is None or named[0] not in agreements.names(PartySettings.load()):
        raise HTTPException(404)
    agreement, kind = named
    context, name = PartyContext.open(agreement), run_name(run_id, kind)
    index = record.record_of(context)
    if not run.exists(context, index, name, kind):
        raise HTTPException(404)
    return context, index, name


def _folder(dag_id: str, run_id: str) -> Path | None:
    """The folder of the files that the run wrote for people."""
    from tombolo.agreements.settings import PartySettings
    from tombolo.plugins.console import documents

    named = agreement_of(dag_id)
    return documents.folder(PartySettings.load(), named[0], run_name(run_id, named[1])) if named else None
