"""A case for the quality bars of the horizontal protocols: the hospitals' trees, compared with pooled trees and with XGBoost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tombolo.cli.demo.hospitals import write_hospitals
from tombolo.fl_tasks.learning.horizontal.statistics import statistics_of
from tombolo.fl_tasks.learning.metrics import classification
from tombolo.fl_tasks.learning.trees.boosting import Plan
from tombolo.fl_tasks.learning.trees.growing import Derivatives, Local, grow
from tombolo.fl_tasks.learning.trees.part import TreePart
from tombolo.fl_tasks.models.reading import part_of_run
from tombolo.fl_tasks.models.reference import LabelledRows, Pooled
from tombolo.fl_tasks.protocols.horizontal_trees.messages import integers, units
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.workflow.aligned import features, label, load_aligned
from tombolo.fl_tasks.workflow.parts import reference_of

_AGREEMENT = Path(__file__).resolve().parents[1] / "federations" / "hospitals-trees"


def findings(out: Path, run: Callable[..., Mapping[str, Any]]) -> Iterator[tuple[str, float, float | None]]:
    """Figures: what is measured, its value, and the least allowed value. ``run(name, agreement, tables, split)`` returns the report
    of a simulation, with the parties' folders in ``out/name``."""
    tables = write_hospitals(out / "tables" / "hospitals")
    ids = pa.concat_tables([pq.read_table(path, columns=["patient"]) for path in tables.values()])
    sets = ["test" if int(patient[2:]) % 4 == 0 else "train" for patient in ids.column("patient").to_pylist()]
    split = out / "tables" / "hospitals" / "split.parquet"
    pq.write_table(ids.append_column("set", pa.array(sets)), split)
    report = run("hospitals-trees", _AGREEMENT, tables, split)
    codes, y, test, totals = [], [], [], []
    for party in tables:
        context = PartyContext.open("hospitals-trees", out / "hospitals-trees" / "parties" / party / "party.yaml")
        aligned, part = load_aligned(context, report["run"]), part_of_run(context, report["run"])
        assert isinstance(part, TreePart)
        codes.append(part.encoder.transform(features(context, aligned)))
        y.append(label(context, aligned))
        test.append(aligned.test)
        totals.append(part.totals(codes[-1])[:, 0])
    codes_, y_, test_, totals_ = (np.concatenate(parts) for parts in (codes, y, test, totals))
    task, limits, params = context.terms.task, context.terms.limits, context.params(report["run"])
    plan = Plan.of("logistic", 2, params, limits.minimum_leaf_rows)
    scale = units(plan, statistics_of(context.state(report["run"], "train")).label_scale)
    own = pooled(plan, part.base, scale, codes_[~test_], y_[~test_], part.rounds)
    yield "digits of training margins that agree with pooled trees'", _digits(np.abs(own - totals_[~test_]).max()), 9.0
    rows = LabelledRows(y_, np.ones(len(y_)), test_)
    reference = reference_of(task).totals(Pooled(task, limits, params, part.rounds, {"": codes_}, rows))
    theirs, ours = (classification(y_[test_], scores)["auc"] for scores in (reference, totals_[test_]))
    yield "AUC, XGBoost on all rows", theirs, None
    yield "AUC, federated", ours, theirs - 5e-4
    yield "digits of AUC that agree with XGBoost's", _digits(abs(ours - theirs)), None
    yield "AUC, best hospital alone", report["metrics"]["best_client"]["auc"], None


def pooled(plan: Plan, base: Any, scale: tuple[float, float], codes: Any, labels: Any, rounds: int) -> Any:
    """Margins, shape (rows,), of trees over all rows in one place. The code is that for trees over several parties' columns."""
    margins = np.tile(base, (len(labels), 1))
    for _ in range(rounds):
        g, h = (
            integers(values[:, 0], unit) for values, unit in zip(plan.objective.derivatives(margins, labels), scale, strict=True)
        )
        derivatives = [Derivatives(g, h, scale)]
        source = Local(codes, int(codes.max()), derivatives, np.arange(codes.shape[1]), 0)
        trees, places = grow([source], derivatives, len(labels), np.arange(len(labels)), plan.growth(1.0))
        margins[:, 0] += np.asarray(trees[0].value)[places[0]]
    return margins[:, 0]


def _digits(difference: float) -> float:
    return -float(np.log10(max(difference, 1e-16)))
