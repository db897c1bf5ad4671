"""Publish stage: the party's model part enters its registry as a version, with a model card; no message leaves."""

from __future__ import annotations

import os
from typing import Any

from fl_tasks.ledger import enter
from fl_tasks.models import registry
from fl_tasks.models.card import card, loss_picture
from fl_tasks.models.gains import PICTURE, gains_picture
from fl_tasks.models.part import ModelPart
from fl_tasks.models.reading import part_of_run
from fl_tasks.models.tensors import to_file
from fl_tasks.session import Progress, log_progress
from fl_tasks.waiting import Wait
from fl_tasks.workplace import Workplace
from storage.canonical import digest, parse
from storage.errors import CodedError
from storage.roles import HOLDERS


class NotEvaluated(CodedError):
    code = "TMB-MODEL-008"
    cause = "The run's model has not been evaluated, or failed the agreement's quality gate, at this party."
    remedy = "Let the evaluation stage of the run succeed at this party first."


def publish(place: Workplace, run: str, wait: Wait, progress: Progress = log_progress) -> dict[str, Any]:
    """Register the run's model as version ``run`` and write its card; repeating it changes nothing.

    Returns the facts of the publication for downstream schedules: agreement, version, metrics, digests, the card's path.
    No weights. Raises :class:`NotEvaluated`. ``wait`` is unused: publishing is local.
    """
    evaluation = place.run_area(run).get("evaluation")
    if evaluation is None or place.run_area(run).get("gate") is None:
        raise NotEvaluated(f"Run {run}.", party=place.me)
    part = part_of_run(place, run) if place.role in HOLDERS else None
    file = None if part is None else to_file(part.document)
    record = registry.publish_record(place, run, _record(place, run, parse(evaluation)), file)
    path = _write_card(place, run, record, part)
    enter(place, run, "publication", run, protocol=record["protocol"], model=digest(record))
    progress({"stage": "publish", "party": place.me, "version": run})
    return {
        "agreement": record["agreement"],
        "version": run,
        "party": place.me,
        "protocol": record["protocol"],
        "metrics": record["evaluation"]["metrics"],
        "held_out_rows": record["evaluation"]["rows"],
        "rounds": None if part is None else part.rounds,
        "agreement_digest": record["agreement_digest"],
        "manifest_digest": record["manifest_digest"],
        "published": record["published"],
        "card": str(path),
    }


def _record(place: Workplace, run: str, evaluation: dict[str, Any]) -> dict[str, Any]:
    manifest = place.manifest(run)
    quality, approvers = place.terms.quality, place.approvers(run)
    privacy = parse(place.run_area(run).get("privacy") or b"null")
    return {
        "agreement": place.agreement.name,
        "agreement_digest": manifest.invitation.agreement_digest,
        "manifest_digest": manifest.digest,
        "party": place.me,
        "role": place.role,
        "protocol": place.terms.task.protocol,
        "outcome": place.terms.task.outcome,
        "parameters": dict(manifest.invitation.parameters),
        "parties": {name: {"role": role, "approver": approvers[name]} for name, role in place.taking_part(run).items()},
        "evaluation": evaluation,
        "quality": None if quality is None else {name: getattr(quality, name) for name in ("metric", "minimum", "maximum")},
        **({"privacy": privacy} if privacy else {}),
    }


def _write_card(place: Workplace, run: str, record: dict[str, Any], part: ModelPart | None) -> str:
    folder = place.docs(run)
    losses = () if part is None else part.loss
    if losses:
        _write(folder / "loss.svg", loss_picture(losses))
    curve = record["evaluation"].get("gains")
    if curve:
        _write(folder / PICTURE, gains_picture({"this model": curve}, "Gains on held-out rows"))
    path = folder / "model-card.md"
    _write(path, card(record, None if part is None else part.document, "loss.svg" if losses else None))
    return str(path)


def _write(path: os.PathLike[str], text: str) -> None:
    """Whole or not at all, for the owner's eyes."""
    part = f"{os.fspath(path)}.{os.getpid()}"
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(part, path)
