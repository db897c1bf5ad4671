"""Boosted trees in one place: XGBoost's hist method on the same bins, rounds and parameters, without sampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.learning.parameters import Boosted
from tombolo.fl_tasks.learning.terms import BoostingTerms
from tombolo.fl_tasks.learning.trees.bins import MOST_BINS
from tombolo.fl_tasks.learning.trees.boosting import Plan
from tombolo.fl_tasks.learning.trees.part import TreePart
from tombolo.fl_tasks.learning.trees.tree import directions, margins
from tombolo.fl_tasks.models.part import ModelPart
from tombolo.fl_tasks.models.reference import Floats, Pooled, Reference

_XGBOOST = {"logistic": "binary:logistic", "squared": "reg:squarederror", "softmax": "multi:softprob"}


def boosted(case: Pooled) -> Floats:
    """Margins of the held-out rows; codes of 0 are missing values. Shape (n,), or (n, classes)."""
    import xgboost

    assert isinstance(case.params, Boosted)
    boosting, codes, rows = case.task.section(BoostingTerms), case.whole, case.rows
    plan = Plan.of(boosting.objective, boosting.classes, case.params, case.limits.minimum_leaf_rows)
    x, train = codes.astype(np.float64), ~rows.test
    x[codes == 0] = np.nan
    base = plan.objective.base(rows.labels[train], rows.weights[train], plan.outputs)

    def matrix(which: npt.NDArray[np.bool_]) -> Any:
        start = np.tile(base, (int(which.sum()), 1))
        margin = start if plan.outputs > 1 else start[:, 0]
        return xgboost.DMatrix(x[which], rows.labels[which], weight=rows.weights[which], base_margin=margin)

    growth = plan.growth(float(rows.weights[train].max()))
    settings = {
        "objective": _XGBOOST[plan.objective.name],
        "tree_method": "hist",
        "max_bin": MOST_BINS + 1,
        "max_depth": growth.depth,
        "eta": growth.rate,
        "lambda": growth.rules.penalty,
        "gamma": growth.rules.gamma,
        "min_child_weight": growth.rules.least,
        **({"num_class": plan.outputs} if plan.outputs > 1 else {}),
    }
    booster = xgboost.train(settings, matrix(train), case.rounds)
    return np.asarray(booster.predict(matrix(rows.test), output_margin=True), dtype=np.float64)


def put_together(parts: Mapping[str, ModelPart], guest: str, codes: Mapping[str, npt.NDArray[Any]]) -> Floats:
    """Margins of rows by the trees of all parties' parts, shape (rows, outputs)."""
    trees = {party: part for party, part in parts.items() if isinstance(part, TreePart)}
    own = trees[guest]
    ways = [directions(trees[party].records, codes[party]) for party in own.parties]
    return margins(own.trees, own.base, ways, len(codes[guest]))


VERTICAL = Reference(boosted, federated=put_together)
HORIZONTAL = Reference(boosted)
