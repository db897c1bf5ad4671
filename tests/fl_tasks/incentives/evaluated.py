"""Federations whose run is trained and evaluated, where contributions start; and the same quantities from everybody's tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tests.federation import Federation, federation
from tombolo.fl_tasks.learning.metrics import measure
from tombolo.fl_tasks.models.reading import part_of_run
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.aligned import features, label, load_aligned
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.train import train
from tombolo.fl_tasks.workflow.validate import validate

COLUMNS = {"clinic": 2, "lab": 3, "bank": 1}


def evaluated(
    root: Path,
    incentives: Mapping[str, Any] | None,
    columns: Mapping[str, int] = COLUMNS,
    protocol: str = "logistic-arbiter",
    rounds: int = 4,
    **more: Any,
) -> Federation:
    """Join, validate, align, train and evaluate run ``run-1`` of parties with so many columns each; the first is the guest."""
    random = np.random.default_rng(7)
    rows, width = 380, sum(columns.values())
    x = random.normal(size=(rows, width)) + 0.5 * random.normal(size=(rows, 1))
    u = x @ np.linspace(1.5, 0.3, width)
    y = 5 + u + random.normal(size=rows) if protocol == "linear" else (u + random.logistic(size=rows) > 0).astype(int)
    tables, at = {}, 0
    for party, count in columns.items():
        own = {f"{party}_{index}": x[:, at + index] for index in range(count)}
        tables[party], at = pa.table({"id": [f"p{row:04d}" for row in range(rows)], **own}), at + count
    guest = next(iter(columns))
    tables[guest] = tables[guest].append_column("label", pa.array(y))
    terms = {"incentives": dict(incentives)} if incentives else {}
    parameters = {"rounds": rounds, "test_fraction": 0.3, "tolerance": 1e-8, "l2": 0.01}
    made = federation(root, tables, protocol=protocol, parameters=parameters, **terms, **more)
    made.start()
    for stage in (validate, align, train, evaluate):
        made.stage(stage, "run-1")
    return made


class Pooled:
    """Everybody's encoded rows and models of a run, in the common order."""

    def __init__(self, made: Federation, run: str = "run-1") -> None:
        self.protocol, self.x, self.parts = made.context(made.guest).terms.task.protocol, {}, {}
        for party in made.data_parties:
            context = made.context(party)
            aligned = load_aligned(context, run)
            self.parts[party] = part_of_run(context, run)
            self.x[party] = self.parts[party].encoder.transform(features(context, aligned))
            self.test = aligned.test
            if party == made.guest:
                self.y = label(context, aligned)
        self.guest = made.guest

    def score(self, party: str, weights: np.ndarray | None = None, intercept: float | None = None) -> np.ndarray:
        part = self.parts[party]
        weights = part.weights if weights is None else weights
        return self.x[party] @ weights + (part.intercept if intercept is None else intercept)

    def with_means(self, coalition: set[str], metric: str) -> float:
        """The coalition's value where absent parties score their mean over training rows."""
        total = sum(
            self.score(party) if party in coalition else np.full(len(self.y), self.score(party)[~self.test].mean())
            for party in self.parts
        )
        return measure("number" if self.protocol == "linear" else "binary", self.y[self.test], total[self.test])[metric]

    def baseline(self, metric: str) -> float:
        mean = self.y[~self.test].mean()
        prior = mean if self.protocol == "linear" else np.log(mean / (1 - mean))
        return measure(
            "number" if self.protocol == "linear" else "binary", self.y[self.test], np.full(int(self.test.sum()), prior)
        )[metric]
