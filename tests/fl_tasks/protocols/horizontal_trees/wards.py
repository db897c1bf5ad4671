"""Hospitals that grow trees together, and the same trees grown over all their rows in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.federation import Federation, federation, quiet
from tests.fl_tasks.learning.horizontal import turns
from tests.fl_tasks.learning.horizontal.turns import Gone
from tombolo.fl_tasks.learning.horizontal.columns import ClientRows
from tombolo.fl_tasks.learning.horizontal.sums import Attendance
from tombolo.fl_tasks.learning.trees.boosting import Plan, plan_of
from tombolo.fl_tasks.learning.trees.growing import Derivatives, Local, grow
from tombolo.fl_tasks.learning.trees.objectives import OBJECTIVES
from tombolo.fl_tasks.learning.trees.tree import Tree
from tombolo.fl_tasks.protocols.horizontal_trees import programs as trees
from tombolo.fl_tasks.protocols.horizontal_trees.messages import Start
from tombolo.fl_tasks.protocols.horizontal_trees.start import aggregate_start
from tombolo.fl_tasks.runtime.waiting import Wait

HOSPITALS = ("north", "east", "south", "west")
LIMITS = {"minimum_batch": 50, "minimum_row_difference": 0, "minimum_leaf_rows": 5, "minimum_bin_rows": 5}
FEATURES: dict[str, Any] = {
    "age": {"missing": "level", "range": [0, 120]},
    "dose": {},
    "visits": {"missing": "mean"},
    "ward": {"levels": ["a", "b"]},
}
PROTOCOL = "horizontal-trees"


def tables(objective: str = "logistic", rows: int = 60, seed: int = 5) -> dict[str, pa.Table]:
    """Rows of different populations; what decides is not linear in any column."""
    random, made = np.random.default_rng(seed), {}
    for shift, name in enumerate(HOSPITALS):
        count = rows + 10 * shift
        age, dose = random.normal(50 + 5 * shift, 10, count), random.lognormal(-8.0, 1.0, count)
        visits, ward = random.poisson(2.0, count).astype(float), random.choice(["a", "b", "c"], count)
        signal = 2.0 * (np.abs(age - 57) < 8) - 1.5 * (dose > 4e-4) + (visits > 1) * (ward == "a")
        if objective == "squared":
            label = 1e4 * signal + 1e5 + random.normal(size=count) * 1e3
        elif objective == "softmax":
            label = np.digitize(signal + random.normal(size=count) / 2, [-0.5, 1.0])
        else:
            label = (signal + random.logistic(size=count) > 0).astype(int)
        for values in (age, visits):
            values[random.random(count) < 0.1] = np.nan
        columns = {"age": age, "dose": dose, "visits": visits, "ward": ward, "label": label}
        made[name] = pa.table({"id": [f"{name}{index}" for index in range(count)], **columns})
    return made


def wards(
    tmp_path,
    objective: str = "logistic",
    horizontal: dict[str, Any] | None = None,
    terms: dict[str, Any] | None = None,
    **parameters: Any,
) -> Federation:
    """An agreement of four hospitals and a centre to grow trees."""
    task = {
        "protocol": PROTOCOL,
        "label": {"column": "label"},
        "boosting": {"objective": objective, "classes": 3 if objective == "softmax" else 2},
        "horizontal": {"features": FEATURES, "step_seconds": 5, **(horizontal or {})},
        "parameters": {"rounds": {"default": 3, "min": 1, "max": 30}, "depth": 3, "bins": 16, **parameters},
    }
    roles = dict.fromkeys(HOSPITALS, "client") | {"centre": "aggregator"}
    return federation(tmp_path, tables(objective), roles, task=task, limits=LIMITS, **(terms or {}))


def rows(party: str, objective: str = "logistic") -> ClientRows:
    """A hospital's rows, all of them for training."""
    table = tables(objective)[party]
    return ClientRows(table.select(list(FEATURES)), table.column("label").to_numpy().astype(float))


def start_of(fed: Federation, run: str, party: str = "north") -> tuple[Plan, Start]:
    """What a party knew before the first tree."""
    with fed.context(party).session(run, trees.MESSAGES, "train", Wait(0), quiet) as session:
        plan, attendance = plan_of(session), Attendance.of(session)
        return plan, aggregate_start(session, attendance, plan)  # all of it is kept already


def pooled(
    plan: Plan, start: Start, codes: np.ndarray, labels: np.ndarray, count: int, margins: np.ndarray | None = None
) -> tuple[list[Tree], np.ndarray]:
    """Trees and margins of all rows together: grown by the code that grows them over columns of several parties."""
    objective, made_trees, records = OBJECTIVES[plan.objective.name], list[Tree](), 0
    margins = np.tile(start.base, (len(labels), 1)) if margins is None else margins.copy()
    for _ in range(count):
        derivatives = scaled(objective.derivatives(margins, labels), start.units)
        source = Local(codes, int(codes.max()), derivatives, np.arange(codes.shape[1]), records)
        made, places = grow([source], derivatives, len(labels), np.arange(len(labels)), plan.growth(1.0))
        records += len(source.records)
        made_trees += made
        for tree, at in zip(made, places, strict=True):
            margins[:, tree.output] += np.asarray(tree.value)[at]
    return made_trees, margins


def scaled(derivatives: Sequence[np.ndarray], units: tuple[float, float]) -> list[Derivatives]:
    whole = [np.rint(one / unit).astype(np.int64) for one, unit in zip(derivatives, units, strict=True)]
    return [Derivatives(whole[0][:, k], whole[1][:, k], units) for k in range(whole[0].shape[1])]


def grown(fed: Federation, run: str, objective: str = "logistic") -> dict[str, Any]:
    """All parties at once, in threads; their last states."""
    client = {
        "client": lambda session: trees.PROGRAMS.data["client"](session, rows(session.me, objective)),
        "aggregator": trees.PROGRAMS.help,
    }
    return fed.roles(run, trees.MESSAGES, "train", client)


def play(fed: Federation, run: str, gone: Gone, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Turns until all are through; see :func:`tests.fl_tasks.learning.horizontal.turns.play`."""
    return turns.play(fed, run, gone, monkeypatch, trees, rows, idle_turns=150)
