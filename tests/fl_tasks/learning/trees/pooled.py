"""XGBoost on the same bins as a pooled model, to compare margins with."""

from __future__ import annotations

from typing import Any

import numpy as np
import xgboost

from tombolo.fl_tasks.learning.parameters import Sampled
from tombolo.fl_tasks.learning.trees.boosting import Plan, Pooled

NAMES = {"logistic": "binary:logistic", "squared": "reg:squarederror", "softmax": "multi:softprob"}
PARAMETERS = Sampled()


def plan(objective: str = "logistic", classes: int = 2, leaf_rows: int = 4, **parameters: Any) -> Plan:
    return Plan.of(objective, classes, Sampled(**parameters), leaf_rows)


def xgboost_margins(
    plan: Plan,
    rounds: int,
    model: Pooled,
    codes: list[np.ndarray],
    y: np.ndarray,
    test: np.ndarray,
    weights: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Margins of all rows, shape (rows, outputs), and of those of a model trained on the rows that are not ``test``."""
    x = np.hstack(codes).astype(float)
    x[x == 0] = np.nan
    rules = plan.growth(1.0 if weights is None else float(weights.max())).rules
    settings = {
        "objective": NAMES[plan.objective.name], "tree_method": "hist", "max_depth": plan.depth, "eta": plan.rate,
        "lambda": plan.penalty, "gamma": plan.gamma, "min_child_weight": rules.least, "max_bin": 256, "nthread": 1,
    }  # fmt: skip
    if plan.outputs > 1:
        settings["num_class"] = plan.outputs

    def matrix(rows: np.ndarray, w: np.ndarray | None) -> xgboost.DMatrix:
        base = np.tile(model.base, (int(rows.sum()), 1))
        return xgboost.DMatrix(x[rows], y[rows], weight=w, base_margin=base if plan.outputs > 1 else base[:, 0])

    booster = xgboost.train(settings, matrix(~test, weights), rounds)
    return booster.predict(matrix(np.ones(len(y), dtype=bool), None), output_margin=True).reshape(len(y), plan.outputs)
