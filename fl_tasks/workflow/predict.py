"""Predict stage: score the aligned new rows with a published version. The agreed recipients store the scores with their own ids."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tombolo.fl_tasks.learning.metrics import presented
from tombolo.fl_tasks.models.reading import part_of_version
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.record import enter
from tombolo.fl_tasks.runtime.session import Progress, log_progress
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.tables.columns import id_columns
from tombolo.fl_tasks.tables.state import VALIDATED
from tombolo.fl_tasks.workflow.aligned import SCORED, encoded_rows, load_aligned, tableless
from tombolo.fl_tasks.workflow.parts import model_of
from tombolo.fl_tasks.workflow.people import ids_of, sends_about
from tombolo.fl_tasks.workflow.state import MADE, SCORES
from tombolo.storage.errors import CodedError
from tombolo.storage.roles import ARBITER, HOLDERS


class NoVersionNamed(CodedError):
    code = "TMB-MODEL-009"
    cause = "The run's manifest names no model version to predict with."
    remedy = (
        "If no model is published yet, train one first. Then start a new prediction run and name a published version in the form."
    )


def predict(context: PartyContext, run: str, wait: Wait, progress: Progress = log_progress) -> dict[str, Any]:
    """Score this run's aligned rows with the model version that the manifest names; repeating it changes nothing.

    A recipient of scores keeps the result in its private area and writes it as Parquet into its outbox: its own id columns and
    ``score``, a probability or the predicted number; with several classes also the likeliest ``class``. Returns counts and the
    path. Raises NoVersionNamed, NoSuchModel, and the errors of scoring with this kind of model.
    """
    version = context.manifest(run).invitation.model
    if not version:
        raise NoVersionNamed(f"Run {run}.", party=context.me)
    model = model_of(context.terms.task)
    facts: dict[str, Any] = {"model": version, "rows": None, "scores": None}
    if context.role not in HOLDERS:
        if model.assist is not None and context.role == ARBITER:
            with context.session(run, model.messages, "predict", wait, progress) as session:
                model.assist(session)
        enter(context, run, "prediction", version)
        return facts
    part = part_of_version(context, version)
    aligned = None if tableless(context, run) else load_aligned(context, run)
    with context.session(run, model.messages, "predict", wait, progress) as session:
        recipients = [party for party in session.terms.scores if party in session.roles]
        if aligned is not None:
            values = context.state(run)[VALIDATED]["sha256"]  # the same people with other values tell something new
            sends_about(
                context, session, ids_of(context, aligned.table), f"predict/{context.agreement.name}/{version}/{values[:16]}"
            )
        rows: Any = None if aligned is None else encoded_rows(context, run, SCORED)
        totals = model.totals(session, part, rows, recipients)
        facts["rows"] = None if aligned is None else aligned.table.num_rows
        session.report(rows=facts["rows"])
    if totals is not None:
        assert aligned is not None
        facts["scores"] = str(deliver(context, run, version, aligned.table, totals))
    enter(context, run, "prediction", version, rows=facts["rows"], scores=totals is not None)
    return facts


def _scored(context: PartyContext, rows: pa.Table, totals: npt.NDArray[np.float64]) -> pa.Table:
    outcome = context.terms.task.outcome
    scored = rows.select(id_columns(context)).append_column("score", pa.array(presented(outcome, totals)))
    return scored.append_column("class", pa.array(totals.argmax(axis=1))) if outcome == "classes" else scored


def deliver(context: PartyContext, run: str, version: str, rows: pa.Table, totals: npt.NDArray[np.float64]) -> Path:
    """Keep the scores of ``rows`` sealed for monitoring, and write them into the outbox, where only the file's owner can read them.

    ``totals`` are total scores, shape (rows,) or (rows, classes). Returns the file's path.
    """
    sink = io.BytesIO()
    pq.write_table(_scored(context, rows, totals), sink)
    data = context.state().keep(SCORES.of(run), sink.getvalue())
    context.state().keep(MADE.of(run), {"model": version, "at": datetime.now(UTC).isoformat()})
    folder = outbox(context)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{run}.parquet"
    part = folder / f".{run}.{os.getpid()}"
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    os.replace(part, path)
    return path


def outbox(context: PartyContext) -> Path:
    """The folder beside the party's settings where its predictions of this agreement are written."""
    return context.party_settings.folder / "predictions" / context.agreement.name


def stored_predictions(context: PartyContext, version: str) -> list[pa.Table]:
    """All predictions that this party holds of one model version, oldest first."""
    state, stored = context.state(), []
    for item in state.all(MADE):
        made = state[item]
        if made["model"] == version:
            stored.append((made["at"], state[SCORES.of(*item.key)]))
    return [pq.read_table(pa.BufferReader(data)) for _, data in sorted(stored)]
