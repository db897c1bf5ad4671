"""What the federated model is compared with, computed from the same aligned rows: pooled and guest-alone models.

Opens every party's private area, so it works only where one machine plays all parties.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fl_tasks.workplace import Workplace
from storage.schema import ARBITER, GUEST


@dataclass(frozen=True)
class Comparison:
    """Metrics of the two plain models, and how many aligned rows there are."""

    pooled: dict[str, float]
    guest_only: dict[str, float]
    rows: dict[str, int]


def compare(agreement: str, settings: Mapping[str, Path], run: str) -> Comparison:
    """Train both plain models of a finished run with scikit-learn or in closed form, with the run's own encoding and l2."""
    import numpy as np

    from fl_tasks.models.part import ModelPart
    from fl_tasks.models.reference import reference_metrics
    from fl_tasks.stages.aligned import features, label, load_aligned

    blocks: dict[str, Any] = {}
    labels, test, protocol, l2, guest = None, None, "", 0.0, ""
    for party, file in settings.items():
        place = Workplace.open(agreement, file)
        if place.role == ARBITER:
            continue
        aligned = load_aligned(place, run)
        blocks[party] = ModelPart.of_run(place, run).encoder.transform(features(place, aligned))
        if place.role == GUEST:
            guest, test, protocol = party, aligned.test, place.terms.task.protocol
            l2 = float(place.params(run)["l2"])
            labels = label(place, aligned)
    assert labels is not None and test is not None
    pooled = reference_metrics(protocol, np.hstack(list(blocks.values())), labels, test, l2)
    alone = reference_metrics(protocol, blocks[guest], labels, test, l2)
    rows = {"common": len(labels), "train": int((~test).sum()), "test": int(test.sum())}
    return Comparison(pooled, alone, rows)
