"""Monitor stage: measure a published model on rows whose labels arrived later, and the drift of its scores. It sends no message."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tombolo.fl_tasks.learning.metrics import HIGHER_IS_BETTER, NOTICEABLE_DRIFT, Histogram, UnfitForMetrics, measure
from tombolo.fl_tasks.models import registry
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.record import enter, enter_run
from tombolo.fl_tasks.runtime.session import Progress, log_progress
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.tables.columns import id_columns
from tombolo.fl_tasks.tables.ids import canonical_ids
from tombolo.fl_tasks.tables.source import read_table
from tombolo.fl_tasks.workflow.aligned import NoLabel
from tombolo.fl_tasks.workflow.predict import stored_predictions
from tombolo.fl_tasks.workflow.state import MONITORING
from tombolo.storage.errors import CodedError


class NothingToMonitor(CodedError):
    code = "TMB-MODEL-010"
    cause = "This party holds no scores of the model version that should be monitored."
    remedy = "Run a prediction with this version first. Only a party that receives scores by the agreement can monitor."


def monitor(
    context: PartyContext, run: str, wait: Wait, progress: Progress = log_progress, version: str | None = None
) -> dict[str, Any]:
    """Compare stored predictions with labels that arrived and with the scores at publication; keep the result under ``run``.

    Uses the latest published version unless ``version`` names one. If the party's settings name a ``labels_table``, live metrics
    are computed on the rows that have a label there. Returns the stability index, the metrics then and now, and ``drift``. The
    result is made once per ``run``: repeating returns the same. ``wait`` is not used, because monitoring is local. Raises
    :class:`NothingToMonitor`.
    """
    record = registry.load(context, version)
    observed = context.state().once(MONITORING.of(record["version"], run), lambda: _observe(context, record))
    enter_run(context, run, "monitor", model=record["version"])
    facts = {name: observed[name] for name in ("predicted_rows", "psi", "labelled_rows", "live")}
    enter(context, run, "monitoring", record["version"], **facts)
    progress({"stage": "monitor", "party": context.me, "psi": observed["psi"], "drift": observed["drift"]})
    return observed


def history(context: PartyContext, version: str) -> list[dict[str, Any]]:
    """All monitoring results of one version, in the order of their run ids."""
    state = context.state()
    return [{"run": item.key[1]} | state[item] for item in state.all(MONITORING.of(version))]


def _observe(context: PartyContext, record: dict[str, Any]) -> dict[str, Any]:
    tables = stored_predictions(context, record["version"])
    published = record["evaluation"]
    if not tables or published["histogram"] is None:
        raise NothingToMonitor(f"Version {record['version']}.", party=context.me)
    scores = np.concatenate([table.column("score").to_numpy() for table in tables])
    psi = Histogram.from_document(published["histogram"]).stability(scores)
    live = _live_metrics(context, record["outcome"], tables)
    return {
        "model": record["version"],
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "predicted_rows": len(scores),
        "psi": psi,
        "drift": psi > NOTICEABLE_DRIFT,
        "at_publication": published["metrics"],
        **live,
        "worse": _worse(published["metrics"], live["live"]),
    }


def _live_metrics(context: PartyContext, outcome: str, tables: list[pa.Table]) -> dict[str, Any]:
    """Metrics on the labelled rows. None if the settings name no labels table, no label has arrived, or all labels are equal."""
    source = context.agreement_settings.labels_table
    if source is None:
        return {"labelled_rows": 0, "live": None}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    own = context.party_settings
    labels = _labels(context, read_table(source, own.folder, {"as_of": now}, id_columns(context), own.plugins))
    latest: dict[str, float] = {}
    for table in tables:
        wanted = "class" if outcome == "classes" else "score"
        latest.update(zip(_keys(context, table), table.column(wanted).to_pylist(), strict=True))
    known = [key for key in latest if key in labels]
    y, score = np.array([labels[key] for key in known]), np.array([latest[key] for key in known])
    if outcome == "classes":  # only the likeliest class was stored, so only the accuracy can be computed
        return {"labelled_rows": len(known), "live": {"accuracy": float(np.mean(y == score))} if known else None}
    try:
        return {"labelled_rows": len(known), "live": measure(outcome, y, _totals(outcome, score))}
    except UnfitForMetrics:
        return {"labelled_rows": len(known), "live": None}


def _labels(context: PartyContext, table: pa.Table) -> dict[str, float]:
    """Label by id; rows whose label has not arrived yet are left out. Raises NoLabel if there is no label column of numbers."""
    name = context.terms.task.label_column
    if name not in table.column_names:
        raise NoLabel(f"Column {name} of labels_table.", party=context.me)
    try:
        values = table.column(name).cast(pa.float64()).to_pylist()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise NoLabel(f"Column {name} of labels_table.", party=context.me) from None
    return {key: value for key, value in zip(_keys(context, table), values, strict=True) if value is not None}


def _keys(context: PartyContext, table: pa.Table) -> list[str]:
    return canonical_ids(table, context.terms.alignment, id_columns(context))


def _totals(outcome: str, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Total scores from presented scores: the logits of probabilities, which are limited to [1e-15, 1 - 1e-15] first."""
    if outcome == "number":
        return scores
    p = np.clip(scores, 1e-15, 1 - 1e-15)
    return np.asarray(np.log(p) - np.log1p(-p), dtype=np.float64)


def _worse(then: dict[str, float], now: dict[str, float] | None) -> list[str]:
    """Names of the metrics that are worse than at publication by more than a tenth of their value."""
    if now is None:
        return []
    signs = {name: 1.0 if HIGHER_IS_BETTER[name] else -1.0 for name in now}
    return sorted(name for name in now if signs[name] * (then[name] - now[name]) > 0.1 * abs(then[name]))
