"""Evaluate stage: measure the model on held-out rows and apply the quality gate.

The guest measures, or in a horizontal agreement the clients together, by secure sums. All parties get and keep the same
numbers, with as many digits as the held-out rows support. Every party applies the gate by itself.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa

from tombolo.agreements.task import TaskTerms
from tombolo.fl_tasks.learning.gains import gains
from tombolo.fl_tasks.learning.horizontal import quality, secagg
from tombolo.fl_tasks.learning.horizontal.state import PRESENT
from tombolo.fl_tasks.learning.horizontal.statistics import statistics_of
from tombolo.fl_tasks.learning.horizontal.sums import Attendance, contribute_values, sum_values
from tombolo.fl_tasks.learning.metrics import Histogram, measure, metric_names, presented
from tombolo.fl_tasks.learning.rounding import digits, supported
from tombolo.fl_tasks.models.reading import part_of_run
from tombolo.fl_tasks.privacy.numbers import ENTROPY_SHARE, entropy
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.record import enter
from tombolo.fl_tasks.runtime.session import Progress, Session, log_progress
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.workflow.aligned import SCORED, encoded_rows, label, load_aligned
from tombolo.fl_tasks.workflow.numbers import rarer
from tombolo.fl_tasks.workflow.parts import horizontal_model_of, model_of
from tombolo.fl_tasks.workflow.people import ids_of, sends_about, trained_item
from tombolo.fl_tasks.workflow.state import EVALUATION, GATE, MEASURED
from tombolo.storage.canonical import digest
from tombolo.storage.errors import CodedError
from tombolo.storage.meters import METRIC, METRIC_BITS, SIZE
from tombolo.storage.roles import AGGREGATOR, ARBITER, DATA, EVERYONE, GUEST, HOLDERS, INITIATORS
from tombolo.storage.schema import FEW, Disclosed, Message, MessageSet, Public

_AGGREGATE = "quality of the joint model, an aggregate over the held-out rows"
METRICS = MessageSet(
    "evaluation",
    Message(
        "metrics",
        INITIATORS,
        EVERYONE,
        {
            "name": Public("string", "names of the metrics that the protocol has"),
            "value": Disclosed("float64", _AGGREGATE, "one value per metric and run", METRIC),
            "rows": Disclosed("int64", "the number of held-out rows in the aggregate", "one count per run", SIZE),
        },
        learns="the model's quality on held-out rows",
        step="metrics",
        limit="aggregates over all held-out rows",
        rows=FEW,
    ),
    Message(
        "score_edges",
        GUEST,
        DATA,
        {"edge": Disclosed("float64", "deciles of held-out scores, to detect drift later", "nine numbers per run", METRIC)},
        learns="deciles of the held-out scores",
        step="metrics",
        limit="parties that receive scores by the agreement",
        rows=FEW,
    ),
    Message(
        "score_shares",
        GUEST,
        DATA,
        {"share": Disclosed("float64", "shares of held-out scores between the deciles", "ten numbers per run", METRIC)},
        learns="how many held-out scores lie between the deciles",
        step="metrics",
        limit="parties that receive scores by the agreement",
        rows=FEW,
    ),
)


def evaluation_messages(task: TaskTerms) -> MessageSet:
    """The messages of evaluation: the metrics, and the messages of secure sums or those that score rows with the model."""
    return MessageSet("evaluation", model_of(task).messages if task.horizontal_terms is None else secagg.MESSAGES, METRICS)


class QualityGateFailed(CodedError):
    code = "TMB-MODEL-002"
    cause = "The model does not reach the quality that the agreement requires; it is not published."
    remedy = "Start a new run with other parameters, more rounds or better tables, or agree on new terms with another bound."


class NoHeldOutRows(CodedError):
    code = "TMB-MODEL-003"
    cause = "No aligned row is held out, so the model cannot be evaluated."
    remedy = "Set `test_fraction` above 0 in the agreement's parameters, or mark rows as test in the split file."


class ForeignMetrics(CodedError):
    code = "TMB-MODEL-004"
    cause = "A party sent metrics that do not belong to the agreed protocol, or numbers that are not possible."
    remedy = "Install the same version of Tombolo at both parties and start a new run. If it happens again, ask the named party."


def evaluate(context: PartyContext, run: str, wait: Wait, progress: Progress = log_progress) -> dict[str, Any]:
    """Score the held-out rows, measure, send the metrics to all parties and keep the evaluation.

    Returns ``{"metrics": {...}, "rows": n, "quality": "passed" | "no gate"}``; repeating it changes nothing. Raises
    :class:`QualityGateFailed` if the model does not reach the agreed quality.
    """
    with context.session(run, evaluation_messages(context.terms.task), "evaluate", wait, progress) as session:
        if context.terms.task.horizontal_terms is not None:
            evaluation = _stored(session, _summed(context, run, session))
        elif session.role == GUEST:
            totals, labels = _held_out_scores(context, run, session)
            measured = _measured(session, totals, labels)
            pay_metrics(session, measured, labels)
            _tell(session, measured)
            evaluation = _stored(session, measured)
        else:
            _held_out_scores(context, run, session)
            evaluation = _stored(session, _heard(session))
        metrics = {name: float(evaluation["metrics"][name]) for name in _names(session)}
        enter(context, run, "metrics", "held-out rows", metrics=metrics, rows=evaluation["rows"])
        session.report(**metrics)
        return {"metrics": metrics, "rows": evaluation["rows"], "quality": _gate(session, metrics)}


def _names(session: Session) -> tuple[str, ...]:
    """The names of the metrics: those of the outcome, and in a horizontal agreement the error bounds of sums over bins."""
    task = session.terms.task
    return (*metric_names(task.outcome), *(quality.ERRORS[task.outcome] if task.horizontal_terms is not None else ()))


def _summed(context: PartyContext, run: str, session: Session) -> dict[str, Any]:
    """Metrics from secure sums over the clients' held-out rows. A client also keeps deciles of its own scores, to monitor drift."""
    outcome = session.terms.task.outcome
    scale = statistics_of(context.state(run, "train")).label_scale
    if session.role == AGGREGATOR:
        sums = sum_values(session, quality.SIZES[outcome], Attendance(session.state.get(PRESENT) or []))
        if sums[0] < 0.5:
            raise NoHeldOutRows(party=session.me)
        rows, metrics = round(sums[0]), quality.metrics(outcome, sums, scale)
        session.state.keep(MEASURED, metrics)
        evaluation = {"metrics": supported(metrics, rows, quality.ERRORS[outcome]), "rows": rows, "histogram": None}
        _tell(session, evaluation)
        return evaluation
    aligned = load_aligned(context, run)
    totals = horizontal_model_of(session.terms.task).score(part_of_run(context, run), encoded_rows(context, run, SCORED))
    contribute_values(session, quality.addends(outcome, label(context, aligned)[aligned.test], totals, scale))
    heard = _heard(session)
    if session.me in session.terms.scores and len(totals):
        heard["histogram"] = Histogram.of(presented(outcome, totals)).document()
    return heard


def _held_out_scores(
    context: PartyContext, run: str, session: Session
) -> tuple[np.ndarray[Any, Any] | None, np.ndarray[Any, Any] | None]:
    """Total scores and labels of the held-out rows at the guest; None at the other parties."""
    model = model_of(context.terms.task)
    if session.role not in HOLDERS:
        if model.assist is not None and session.role == ARBITER:
            model.assist(session)
        return None, None
    aligned = load_aligned(context, run)
    if not aligned.test.any():
        raise NoHeldOutRows(party=session.me)
    held_out = ids_of(context, aligned.table.filter(pa.array(aligned.test)))
    sends_about(context, session, held_out, f"evaluate/{trained_item(context, run)}")
    totals = model.totals(session, part_of_run(context, run), encoded_rows(context, run, SCORED), [session.guest])
    if session.role != GUEST:
        return None, None
    return totals, label(context, aligned)[aligned.test]


def _measured(session: Session, totals: Any, labels: Any) -> dict[str, Any]:
    outcome = session.terms.task.outcome
    metrics, scores = measure(outcome, labels, totals), presented(outcome, totals)
    session.state.keep(MEASURED, metrics)
    histogram = Histogram.of(scores).rounded(scores, digits(len(totals)))
    measured = {"metrics": supported(metrics, len(totals)), "rows": len(totals), "histogram": histogram.document()}
    return {**measured, "gains": gains(labels, totals)} if outcome == "binary" else measured


def pay_metrics(session: Session, measured: dict[str, Any], labels: Any) -> None:
    """Pay for the metrics and the distribution of scores: equal ones cost once. Raises Spent.

    All metrics together may have a quarter of the entropy of the held-out labels as bits, or as many bits as the metrics of one run
    if that is more (docs/what-adds-up.md).
    """
    outcome, told = session.terms.task.outcome, {name: measured[name] for name in ("metrics", "rows", "histogram")}
    one_run = METRIC_BITS * len(measured["metrics"])
    limit = session.terms.limits.exposure * max(one_run, ENTROPY_SHARE * len(labels) * entropy(rarer(outcome, labels)))
    scored = {party for party in session.terms.scores if party in session.roles} - {session.me}
    others = set(session.roles) - {session.me} - scored
    histogram = measured["histogram"]
    for to, bits in (
        (others, one_run),
        (scored, one_run + METRIC_BITS * (len(histogram["edges"]) + len(histogram["shares"]))),
    ):
        if to:
            release = session.payments.release(METRIC, f"metrics/{digest(told)}", to, bits, limit)
            session.odometer.pay([release])
    session.prepaid(METRIC)


def _tell(session: Session, evaluation: dict[str, Any]) -> None:
    names = list(evaluation["metrics"])
    values, rows = [evaluation["metrics"][name] for name in names], [evaluation["rows"]] * len(names)
    session.send("metrics", name=names, value=values, rows=rows)
    for party in session.terms.scores if session.role == GUEST else ():
        if party != session.me and party in session.roles:
            session.send("score_edges", party, edge=evaluation["histogram"]["edges"])
            session.send("score_shares", party, share=evaluation["histogram"]["shares"])


def _heard(session: Session) -> dict[str, Any]:
    table = session.receive("metrics", session.initiator)
    names, values, rows = (Session.values(table, name).to_pylist() for name in ("name", "value", "rows"))
    expected = _names(session)
    if tuple(names) != expected or not all(map(math.isfinite, values)) or len(set(rows)) != 1 or rows[0] < 1:
        raise ForeignMetrics(party=session.initiator)
    heard: dict[str, Any] = {"metrics": dict(zip(names, values, strict=True)), "rows": rows[0], "histogram": None}
    if session.me in session.terms.scores and session.terms.task.horizontal_terms is None:
        edges = Session.values(session.receive("score_edges", session.guest), "edge").to_pylist()
        shares = Session.values(session.receive("score_shares", session.guest), "share").to_pylist()
        sane = len(shares) == len(edges) + 1 and edges == sorted(edges) and all(0 <= share <= 1 for share in shares)
        if not sane or not all(map(math.isfinite, edges)):
            raise ForeignMetrics(party=session.guest)
        heard["histogram"] = {"edges": edges, "shares": shares}
    return heard


def _stored(session: Session, evaluation: dict[str, Any]) -> dict[str, Any]:
    return session.state.keep(EVALUATION, evaluation)


def _gate(session: Session, metrics: dict[str, float]) -> str:
    """Return ``passed`` or ``no gate``; raise :class:`QualityGateFailed`. Every party decides by itself, from the same numbers."""
    quality = session.terms.quality
    if quality is None:
        return _opened(session, "no gate")
    value, name = metrics.get(quality.metric), quality.metric
    if value is None:
        raise QualityGateFailed(f"Metric {name} does not belong to this protocol.", party=session.me)
    if quality.minimum is not None and value < quality.minimum:
        raise QualityGateFailed(f"{name} is {value:.4f}; at least {quality.minimum:g} is agreed.")
    if quality.maximum is not None and value > quality.maximum:
        raise QualityGateFailed(f"{name} is {value:.4f}; at most {quality.maximum:g} is agreed.")
    return _opened(session, "passed")


def _opened(session: Session, verdict: str) -> str:
    """Keep the verdict. It allows the publish stage to publish the model."""
    return session.state.keep(GATE, verdict)
