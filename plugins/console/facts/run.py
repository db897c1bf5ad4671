"""One run in detail: its progress, its results, and the block that closed it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tombolo.agreements.kinds import KINDS
from tombolo.operators.runs import kind_of
from tombolo.plugins.console.facts.artifacts import Artifact, traffic
from tombolo.plugins.console.facts.runs import Run, current_stage, invitations, run_row

if TYPE_CHECKING:
    from tombolo.fl_tasks.learning.horizontal.attendance import Cohort
    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.plugins.console.facts.record import RecordIndex, RunRecord


@dataclass(frozen=True)
class Stage:
    """A stage of the workflow at this party: ``state`` is done, current or open."""

    name: str
    state: str
    note: str = ""


@dataclass(frozen=True)
class Progress:
    """The progress of a run at this party, and the losses of its rounds."""

    row: Run
    stages: tuple[Stage, ...]
    round: int
    rounds: int
    losses: tuple[float, ...]

    @property
    def live(self) -> bool:
        """Whether the run still goes on."""
        return self.row.state in ("running", "invited")


@dataclass(frozen=True)
class Alone:
    """The quality of the joint model and of the guest without the other parties, in the metric of the contributions."""

    metric: str
    joint: float
    guest: float
    absent: str


@dataclass(frozen=True)
class Results:
    """The results of the run at this party. A field is None or empty if there is no result yet, or this party does not know it."""

    parameters: dict[str, Any]
    model: str | None
    as_of: str
    approvers: dict[str, str]
    manifest: str | None
    validation: dict[str, Any] | None
    rows: int | None
    held_out: int | None
    metrics: dict[str, float]
    measured_rows: int | None
    alone: Alone | None
    published: str | None
    predicted: int | None
    asked: dict[str, Any] | None


@dataclass(frozen=True)
class Closing:
    """The block of the run, as this party stored it, with the contributions and rewards in it."""

    height: int
    hash: str
    previous: str
    signers: tuple[str, ...]
    attested: tuple[str, ...]
    at: datetime
    pairs: tuple[dict[str, Any], ...]
    findings: dict[str, list[str]]
    contributions: dict[str, Any] | None
    rewards: dict[str, Any] | None


def exists(context: PartyContext, record: RecordIndex, run: str, kind: str) -> bool:
    """Whether this party knows a run with this id and kind."""
    if run in record.runs:
        return record.runs[run].kind == kind
    return run in invitations(context, record).runs and kind == kind_of(run)


def progress(context: PartyContext, record: RecordIndex, run: str) -> Progress:
    """The progress at this party, and the status of all parties."""
    noted = _noted(record, run)
    proposed = invitations(context, record).runs.get(run)
    row = run_row(context, record, run, noted.at or (proposed.isoformat() if proposed else ""))
    losses = _losses(context, noted)
    done = max([len(losses), *(entry.body["round"] for entry in noted.all("rounds"))])
    if row.state == "running" and "train" in KINDS[noted.kind].stages:
        done = max(done, _rounds_done(traffic(context, record, run)))
    planned = (
        int(context.agreed(run).invitation.parameters["rounds"] or 0)
        if row.state != "skipped" and noted.last("run") and noted.kind == "train"
        else 0
    )
    return Progress(row, tuple(_stages(noted, row, done, planned)), done, planned, tuple(losses))


def attendance(context: PartyContext, run: str) -> tuple[Cohort, ...]:
    """Which clients were in which sums of a horizontal run, as far as this party knows; empty in other agreements."""
    from tombolo.fl_tasks.learning.horizontal.attendance import cohorts

    return tuple(cohorts(context.private, run)) if context.terms.task.horizontal_terms is not None else ()


def results(context: PartyContext, record: RecordIndex, run: str) -> Results:
    """The parameters in the manifest, and the results."""
    noted = _noted(record, run)
    begun, aligned, measured = noted.last("run"), noted.last("alignment"), noted.last("metrics")
    validated, published, predicted = noted.last("validation"), noted.last("publication"), noted.last("prediction")
    asked = noted.last("index") or noted.last("query")
    invited = context.manifest(run).invitation if begun and begun.body["manifest"] else None
    return Results(
        parameters=dict(invited.parameters) if invited else {},
        model=invited.model if invited else None,
        as_of=invited.as_of if invited else "",
        approvers=begun.body["approvers"] if begun else {},
        manifest=begun.body["manifest"] if begun else None,
        validation=validated.body if validated else None,
        rows=aligned.body.get("rows") if aligned else None,
        held_out=aligned.body.get("test") if aligned else None,
        metrics=measured.body["metrics"] if measured else {},
        measured_rows=measured.body["rows"] if measured else None,
        alone=_alone(context, noted),
        published=published.at if published else None,
        predicted=predicted.body.get("rows") if predicted else None,
        asked=asked.body if asked else None,
    )


def closing(context: PartyContext, record: RecordIndex, run: str) -> Closing | None:
    """The block that closed the run; None while it is open."""
    noted = _noted(record, run)
    settled = noted.last("settlement")
    kept = context.blocks.get(int(settled.subject)) if settled else None
    if settled is None or kept is None:
        return None
    block = kept["block"]
    return Closing(
        height=block["height"],
        hash=settled.body["block"],
        previous=block["previous"],
        signers=tuple(settled.body["signers"]),
        attested=tuple(block["attested"]),
        at=context.blocks.written(block["height"]),
        pairs=tuple(block["pairs"]),
        findings={entry.subject: entry.body["addresses"] for entry in noted.all("finding")},
        contributions=block["facts"]["contributions"],
        rewards=block["facts"]["rewards"],
    )


def _noted(record: RecordIndex, run: str) -> RunRecord:
    from tombolo.plugins.console.facts.record import RunRecord

    return record.runs.get(run, RunRecord(run))


def _stages(noted: RunRecord, row: Run, done: int, planned: int) -> list[Stage]:
    names, current = KINDS[noted.kind].stages, current_stage(noted)
    at = len(names) if noted.last("settlement") else names.index(current)
    stages = []
    for index, name in enumerate(names):
        state = "done" if index < at else "current" if index == at and row.state in ("running", "invited") else "open"
        note = f"round {done} of at most {planned}" if name == "train" and planned and state != "open" else ""
        stages.append(Stage(name, state, note))
    return stages


def _rounds_done(artifacts: list[Artifact]) -> int:
    """The number of finished rounds: the last round with an artifact of this party, minus one, because it is not finished."""
    return max([artifact.round for artifact in artifacts if artifact.stage == "train"], default=1) - 1


def _losses(context: PartyContext, noted: RunRecord) -> list[float]:
    """The loss after each round, if this party may know it: from the published or finished model, or the last checkpoint."""
    from tombolo.fl_tasks.models import registry
    from tombolo.fl_tasks.models.reading import part_of_file
    from tombolo.fl_tasks.models.state import MODEL
    from tombolo.fl_tasks.runtime.checkpoints import Checkpoints

    if noted.kind != "train":
        return []
    published = None if noted.last("publication") is None else registry.load_part(context, noted.run)
    stored = published or context.state(noted.run).get(MODEL)
    if stored is not None:
        return list(part_of_file(stored).loss)
    state = Checkpoints(context.state(noted.run, "train")).latest() or {}
    return [float(loss) for loss in state.get("loss", [])]


def _alone(context: PartyContext, noted: RunRecord) -> Alone | None:
    """The values of the guest alone and of all parties together, from the settled contributions."""
    settled = noted.last("settlement")
    kept = context.blocks.get(int(settled.subject)) if settled else None
    paid = kept["block"]["facts"]["contributions"] if kept else None
    if not paid or paid["metric"] is None or paid["baseline"] is None:
        return None
    everybody, coalitions = sorted(paid["players"]), paid["coalitions"]
    joint = next((coalition["value"] for coalition in coalitions if sorted(coalition["members"]) == everybody), None)
    return None if joint is None else Alone(paid["metric"], joint, paid["baseline"], paid["absent"])
