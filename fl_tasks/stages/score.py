"""Score stage: a client scores new rows of its own with the whole model that it holds; nobody is asked, and no message leaves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from contracts.parameters import HORIZONTAL
from fl_tasks.ledger import SCORE, enter, enter_run
from fl_tasks.models import registry
from fl_tasks.models.reading import part_of_version
from fl_tasks.session import Progress, log_progress
from fl_tasks.stages.aligned import feature_columns, id_columns
from fl_tasks.stages.families import own_totals
from fl_tasks.stages.predict import deliver
from fl_tasks.tables.prepared import prepared
from fl_tasks.tables.source import read_table
from fl_tasks.waiting import Wait
from fl_tasks.workplace import Workplace
from storage.errors import CodedError
from storage.roles import CLIENT


class NotWhole(CodedError):
    code = "TMB-MODEL-013"
    cause = "This party holds no whole model of the agreement, so it cannot score rows by itself."
    remedy = "Clients of horizontal agreements can; let who starts the agreement's runs start a prediction."


def score(
    place: Workplace,
    run: str,
    wait: Wait,
    progress: Progress = log_progress,
    version: str | None = None,
    as_of: str | None = None,
) -> dict[str, Any]:
    """Score this party's ``predict_table`` with a published version, the latest one by default; booked under ``run``.

    Scores go where those of a prediction go, to be monitored with them; repeating changes nothing. Returns version, counts and the
    path. ``wait`` is unused: nobody is waited for. Raises :class:`NotWhole`, NoSuchModel, and what a table can be refused for.
    """
    if place.role != CLIENT or place.terms.task.protocol not in HORIZONTAL:
        raise NotWhole(party=place.me)
    record = registry.load(place, version)
    parameters = {"as_of": as_of or datetime.now(UTC).isoformat(timespec="seconds"), "run": run}
    table = prepared(place, read_table(place.settings.predict_table, place.party.folder, parameters, id_columns(place))).table
    rows = table.select(feature_columns(place, table.column_names))
    totals = own_totals(record["protocol"], part_of_version(place, record["version"]), rows)
    path = deliver(place, run, record["version"], table, totals)
    enter_run(place, run, SCORE, model=record["version"])
    enter(place, run, "prediction", record["version"], rows=table.num_rows, scores=True)
    progress({"stage": "score", "party": place.me, "rows": table.num_rows})
    return {"model": record["version"], "rows": table.num_rows, "scores": str(path)}
