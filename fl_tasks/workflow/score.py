"""Score stage: a client scores its own new rows with the whole model that it holds. It asks no other party and sends no message."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tombolo.fl_tasks.models import registry
from tombolo.fl_tasks.models.reading import part_of_version
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.record import enter, enter_run
from tombolo.fl_tasks.runtime.session import Progress, log_progress
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.tables.columns import id_columns
from tombolo.fl_tasks.tables.prepared import prepared
from tombolo.fl_tasks.tables.source import read_table
from tombolo.fl_tasks.workflow.parts import horizontal_model_of
from tombolo.fl_tasks.workflow.predict import deliver
from tombolo.storage.errors import CodedError
from tombolo.storage.roles import CLIENT


class NotWhole(CodedError):
    code = "TMB-MODEL-013"
    cause = "This party holds no whole model of the agreement, so it cannot score rows by itself."
    remedy = (
        "In a horizontal agreement, let a client score the rows. In a vertical agreement, let the guest start a prediction run."
    )


def score(
    context: PartyContext,
    run: str,
    wait: Wait,
    progress: Progress = log_progress,
    version: str | None = None,
    as_of: str | None = None,
) -> dict[str, Any]:
    """Score this party's ``predict_table`` with a published version, by default the latest. The result is recorded under ``run``.

    The scores are stored like those of a prediction and are monitored together with them. Repeating it changes nothing. Returns the
    version, counts and the path. ``wait`` is not used, because no party is awaited. Raises :class:`NotWhole`, NoSuchModel, and the
    errors of a table that cannot be used.
    """
    if context.role != CLIENT:
        raise NotWhole(party=context.me)
    record = registry.load(context, version)
    parameters, own = {"as_of": as_of or datetime.now(UTC).isoformat(timespec="seconds"), "run": run}, context.party_settings
    source = context.agreement_settings.predict_table
    table = prepared(context, read_table(source, own.folder, parameters, id_columns(context), own.plugins)).table
    part = part_of_version(context, record["version"])
    totals = horizontal_model_of(context.terms.task).score(part, part.encoder.transform(table))
    path = deliver(context, run, record["version"], table, totals)
    enter_run(context, run, "score", model=record["version"])
    enter(context, run, "prediction", record["version"], rows=table.num_rows, scores=True)
    progress({"stage": "score", "party": context.me, "rows": table.num_rows})
    return {"model": record["version"], "rows": table.num_rows, "scores": str(path)}
