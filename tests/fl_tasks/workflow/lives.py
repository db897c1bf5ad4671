"""Whole lives of small agreements, of every kind of run, from invitation to settlement: what retention finds afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.federation import FOREVER, Federation, quiet
from tests.fl_tasks.incentives.evaluated import evaluated
from tests.fl_tasks.learning.horizontal.hospitals import networks
from tests.fl_tasks.protocols.horizontal_trees.wards import wards
from tests.fl_tasks.protocols.lending_query.lenders import ask, build, lending
from tests.fl_tasks.workflow.test_boosted import boosted
from tests.fl_tasks.workflow.test_latecomers import admitting, begun, comes
from tests.fl_tasks.workflow.test_live import LIVE, label
from tests.fl_tasks.workflow.test_neural import agreed
from tests.fl_tasks.workflow.trained import settle as point_at
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.join import join
from tombolo.fl_tasks.workflow.predict import predict
from tombolo.fl_tasks.workflow.publish import publish
from tombolo.fl_tasks.workflow.settle import settle
from tombolo.fl_tasks.workflow.train import train
from tombolo.fl_tasks.workflow.validate import validate

AGREED = {"retention": {"artifacts_days": 1}}
PRIVACY = {"delta": 1e-5, "noise": 1.0}


def vertical(root: Path) -> Federation:
    """Trained, valued by retraining coalitions, published, paid, predicted with, monitored, and paid for its use."""
    two = {"clinic": 2, "lab": 3}
    made = evaluated(root, {**LIVE, "absent": "retrain"}, two, rounds=2, **AGREED)
    ids, random = [f"new{row:03d}" for row in range(100)], np.random.default_rng(3)
    for party, count in two.items():
        columns = {f"{party}_{index}": random.normal(size=100) for index in range(count)}
        point_at(made, party, "predict_table", pa.table({"id": ids, **columns}))
    made.stage(publish, "run-1")
    for run in ("new-1", "new-2"):
        made.start(run, "predict", model="run-1")
        for stage in (validate, align, predict):
            made.stage(stage, run)
        label(made, run, 90, f"watch-{run}")
        made.stage(settle, run)
    return made


def dealt(root: Path) -> Federation:
    """Trained with triples that an arbiter deals."""
    made = evaluated(root, None, {"clinic": 2, "lab": 1}, "linear", rounds=2, engine="dealer", **AGREED)
    for stage in (publish, settle):
        made.stage(stage, "run-1")
    return made


def trees(root: Path) -> Federation:
    """Boosted trees over columns."""
    return _trained(boosted(root, terms=AGREED))


def neural(root: Path) -> Federation:
    """A network over columns."""
    return _trained(agreed(root, "dealer", **AGREED))


def _trained(made: Federation) -> Federation:
    made.start()
    for stage in (validate, align, train, evaluate, publish, settle):
        made.stage(stage, "run-1")
    return made


def absence(root: Path) -> Federation:
    """Hospitals, of which one comes late and is admitted."""
    made = admitting(root, **AGREED)
    others = [party for party in made.parties if party != "west"]
    run = begun(made, 2)
    comes(made, run)
    made.stage(train, run, others, leg_end=3)
    join(made.context("west"), run, FOREVER, approver="ada", progress=quiet)
    for stage in (validate, align):
        made.stage(stage, run, ["west"])
    for stage in (train, evaluate, publish, settle):
        made.stage(stage, run)
    return made


def network(root: Path) -> Federation:
    """Hospitals with a network and noise."""
    return _trained(networks(root, privacy=PRIVACY, terms=AGREED, rounds=2))


def common_trees(root: Path) -> Federation:
    """Hospitals with trees over their rows."""
    return _trained(wards(root, "logistic", terms=AGREED, rounds=2))


def lenders(root: Path) -> Federation:
    """An index and a question."""
    loans = {name: {f"{name}{at}": (1, 5000) for at in range(9)} | {"ann": (2, 1000)} for name in ("alpha", "beta", "gamma")}
    made = lending(root, loans, agreed=AGREED)
    made.stage(settle, build(made, "index-1"))
    ask(made, "query-1", ["ann", "nobody"])
    made.stage(settle, "query-1")
    return made


LIVES = {one.__name__: one for one in (vertical, dealt, trees, neural, absence, network, common_trees, lenders)}
