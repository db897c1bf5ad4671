"""What the federated model is compared with, computed from the same aligned rows: pooled and guest-alone models.

Opens every party's private area, so it works only where one machine plays all parties.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fl_tasks.workplace import Workplace
from storage.canonical import parse
from storage.schema import ARBITER, GUEST


@dataclass(frozen=True)
class Comparison:
    """Metrics of the two plain models, counts of aligned rows, and, of a binary label, gains of these and the federated model."""

    pooled: dict[str, float]
    guest_only: dict[str, float]
    rows: dict[str, int]
    gains: dict[str, list[float]]


def compare(agreement: str, settings: Mapping[str, Path], run: str) -> Comparison:
    """Train both plain models of a finished run, with the run's own encoding, parameters and number of rounds."""
    import numpy as np

    from fl_tasks.models.gains import gains
    from fl_tasks.models.metrics import measure
    from fl_tasks.models.part import ModelPart
    from fl_tasks.models.reference import Rows, reference_totals
    from fl_tasks.stages.aligned import features, label, load_aligned, weight

    blocks: dict[str, Any] = {}
    for party, file in settings.items():
        place = Workplace.open(agreement, file)
        if place.role == ARBITER:
            continue
        aligned, part = load_aligned(place, run), ModelPart.of_run(place, run)
        encoded = part.encoder.transform(features(place, aligned))
        if place.role == GUEST:
            guest, rounds = place, part.rounds
            rows = Rows(label(place, aligned), weight(place, aligned), aligned.test)
            blocks = {party: encoded, **blocks}
        else:
            blocks[party] = encoded

    task, held_out = guest.terms.task, rows.labels[rows.test]
    totals = {
        name: reference_totals(task, guest.terms.limits, guest.params(run), rounds, x, rows)
        for name, x in (("pooled", np.hstack(list(blocks.values()))), ("guest_only", blocks[guest.me]))
    }
    curves = {}
    if task.outcome == "binary":
        evaluation = parse(guest.run_area(run).get("evaluation") or b"{}")
        curves = {"federated": evaluation["gains"], **{name: gains(held_out, scores) for name, scores in totals.items()}}
    counts = {"common": len(rows.test), "train": int((~rows.test).sum()), "test": int(rows.test.sum())}
    return Comparison(*(measure(task.outcome, held_out, totals[name]) for name in ("pooled", "guest_only")), counts, curves)
