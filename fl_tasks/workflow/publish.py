"""Publish stage: put the party's model part into its registry as a version, and write a model card. It sends no message."""

from __future__ import annotations

import os
from typing import Any

from tombolo.fl_tasks.learning.gains import PICTURE, gains_picture
from tombolo.fl_tasks.models import registry
from tombolo.fl_tasks.models.part import ModelPart
from tombolo.fl_tasks.models.reading import part_of_run
from tombolo.fl_tasks.models.tensors import to_file
from tombolo.fl_tasks.pages.charts import losses
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.record import enter
from tombolo.fl_tasks.runtime.session import Progress, log_progress
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.workflow.card import card
from tombolo.fl_tasks.workflow.state import EVALUATION, GATE, PRIVACY
from tombolo.storage.canonical import digest
from tombolo.storage.errors import CodedError
from tombolo.storage.roles import HOLDERS


class NotEvaluated(CodedError):
    code = "TMB-MODEL-008"
    cause = "At this party, the run's model has not been evaluated, or it failed the agreement's quality gate."
    remedy = "Wait until the evaluate task of this run has succeeded at this party. If the gate failed, start a new run."


def publish(context: PartyContext, run: str, wait: Wait, progress: Progress = log_progress) -> dict[str, Any]:
    """Register the run's model as version ``run`` and write its card; repeating it changes nothing.

    Returns facts for DAGs that run afterwards: agreement, version, metrics, digests and the path of the card; no weights. Raises
    :class:`NotEvaluated`. ``wait`` is not used, because publishing is local.
    """
    evaluation = context.state(run).get(EVALUATION)
    if evaluation is None or GATE not in context.state(run):
        raise NotEvaluated(f"Run {run}.", party=context.me)
    part = part_of_run(context, run) if context.role in HOLDERS else None
    file = None if part is None else to_file(part.document)
    record = registry.publish_record(context, run, _record(context, run, evaluation), file)
    path = _write_card(context, run, record, part)
    enter(context, run, "publication", run, protocol=record["protocol"], model=digest(record))
    progress({"stage": "publish", "party": context.me, "version": run})
    return {
        "agreement": record["agreement"],
        "version": run,
        "party": context.me,
        "protocol": record["protocol"],
        "metrics": record["evaluation"]["metrics"],
        "held_out_rows": record["evaluation"]["rows"],
        "rounds": None if part is None else part.rounds,
        "agreement_digest": record["agreement_digest"],
        "manifest_digest": record["manifest_digest"],
        "published": record["published"],
        "card": str(path),
    }


def _record(context: PartyContext, run: str, evaluation: dict[str, Any]) -> dict[str, Any]:
    manifest = context.manifest(run)
    quality, approvers = context.terms.quality, context.approvers(run)
    privacy = context.state(run).get(PRIVACY)
    return {
        "agreement": context.agreement.name,
        "agreement_digest": manifest.invitation.agreement_digest,
        "manifest_digest": manifest.digest,
        "party": context.me,
        "role": context.role,
        "protocol": context.terms.task.protocol,
        "outcome": context.terms.task.outcome,
        "parameters": dict(manifest.invitation.parameters),
        "parties": {name: {"role": role, "approver": approvers[name]} for name, role in context.taking_part(run).items()},
        "evaluation": evaluation,
        "quality": None if quality is None else {name: getattr(quality, name) for name in ("metric", "minimum", "maximum")},
        **({"privacy": privacy} if privacy else {}),
    }


def _write_card(context: PartyContext, run: str, record: dict[str, Any], part: ModelPart | None) -> str:
    folder = context.docs(run)
    loss = () if part is None else part.loss
    if loss:
        _write(folder / "loss.svg", losses(loss))
    curve = record["evaluation"].get("gains")
    if curve:
        _write(folder / PICTURE, gains_picture({"this model": curve}, "Gains on held-out rows"))
    path = folder / "model-card.md"
    document = None if part is None else part.document
    _write(path, card(record, document, "loss.svg" if loss else None, context.terms.task.descriptor))
    return str(path)


def _write(path: os.PathLike[str], text: str) -> None:
    """Write a file, completely or not at all. Only the file's owner can read it."""
    part = f"{os.fspath(path)}.{os.getpid()}"
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(part, path)
