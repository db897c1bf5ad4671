"""The console's routes. All but the style sheet and the script ask Airflow who reads; none writes anything."""

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
    """The style sheet and the script; nothing in them is anybody's."""
    if name not in STATIC:
        raise HTTPException(404)
    headers = {**HEADERS, "Cache-Control": "public, max-age=300"}
    return FileResponse(FOLDER / "static" / name, media_type=STATIC[name], headers=headers)


@app.get("/")
def overview(request: Request, may_read: MayRead, agreement: Word = "", at: Page = 1) -> Response:
    """All agreements whose first DAG the user may read; ``page`` is that of the named agreement's runs."""
    from tombolo.agreements.settings import PartySettings
    from tombolo.plugins.console.facts import agreements

    settings = PartySettings.load()
    names = [name for name in agreements.names(settings) if any(may_read(dag_of(name, kind)) for kind in ("train", "index"))]
    found = [agreements.overview(settings, name, at if name == agreement else 1) for name in names]
    shown = [one for one in found if one is not None]
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
    """All about one run."""
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
    """The part of the run's page that changes while it runs."""
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
    """One page of the artifacts' table."""
    from tombolo.plugins.console.facts import artifacts

    context, record, name = _known(dag_id, run_id)
    wanted = Filter(_book(book), peer, message, at)
    found = artifacts.listing(context, name, artifacts.traffic(context, record, name), wanted)
    return page("_artifacts.html", **_site(request), **_names(context, dag_id, name), listing=found)


@app.get("/runs/{dag_id}/{run_id}/{path:path}", dependencies=[may_read_dag])
def run_file(dag_id: str, run_id: str, path: str) -> Response:
    """One file that the run wrote for people, such as a validation page."""
    from tombolo.plugins.console import documents

    found = documents.file(_folder(dag_id, run_id), path)
    if found is None:
        raise HTTPException(404)
    return FileResponse(found, media_type=documents.KINDS[found.suffix], headers=DOCUMENT_HEADERS)


@app.exception_handler(CodedError)
def coded(request: Request, error: CodedError) -> Response:
    """A page that says what is wrong and what helps."""
    return page("error.html", 503, **_site(request), error=error, title="This page cannot be shown now")


@app.exception_handler(Refusal)
def refused(request: Request, error: Refusal) -> Response:
    """A page for what is not there; whoever may not read gets nothing but the status."""
    if error.status_code == 404:
        return page("error.html", 404, **_site(request), error=None, title="Nothing is known of this")
    return JSONResponse({"detail": error.detail}, error.status_code, headers=error.headers)


def _site(request: Request) -> dict[str, Any]:
    """Where the console and its Airflow lie."""
    base = str(request.scope.get("root_path", "")).rstrip("/")
    return {"base": base, "airflow": base.removesuffix(PREFIX)}


def _names(context: PartyContext, dag_id: str, run: str) -> dict[str, Any]:
    """All that a template gets of a workplace; ``clients`` are those of a horizontal agreement."""
    clients = [party for party, role in context.roles.items() if role == CLIENT]
    named = {"dag_id": dag_id, "run": run, "agreement": context.agreement.name, "me": context.me, "role": context.role}
    return {**named, "clients": clients}


def _book(asked: str) -> str:
    return "received" if asked == "received" else "sent"


def _known(dag_id: str, run_id: str) -> tuple[PartyContext, RecordIndex, str]:
    """The workplace, record and federation's id of a run that this party knows under this DAG; 404 for any other."""
    from tombolo.agreements.settings import PartySettings
    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.plugins.console.facts import agreements, record, run

    found = agreement_of(dag_id)
    if found is None or found[0] not in agreements.names(PartySettings.load()):
        raise HTTPException(404)
    context, name = PartyContext.open(found[0]), run_name(run_id, found[1])
    known = record.record_of(context)
    if not run.exists(context, known, name, found[1]):
        raise HTTPException(404)
    return context, known, name


def _folder(dag_id: str, run_id: str) -> Path | None:
    """The folder of what the run wrote for people."""
    from tombolo.agreements.settings import PartySettings
    from tombolo.plugins.console import documents

    found = agreement_of(dag_id)
    return documents.folder(PartySettings.load(), found[0], run_name(run_id, found[1])) if found else None
