"""The plain models that a federated one is compared with: pooled (all columns at one place) and the guest's columns alone.

They minimise the same objective on the same rows in the same encoding: 1/(2n) sum (u - y)^2 + l2/2 |w|^2 for linear models and
mean log-loss + l2/2 |w|^2 for logistic ones, intercept unpenalised (scikit-learn's C is 1/(n l2)). Boosted trees are compared with
XGBoost's hist method on the same bins, rounds and parameters, without sampling; networks with the same layers, first weights,
descent and number of epochs. Possible only where one machine has everybody's tables: in simulations, demos and acceptance runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tombolo.agreements.task import NetworkTerms, TaskTerms
from tombolo.agreements.terms import LimitTerms
from tombolo.fl_tasks.learning.metrics import measure
from tombolo.fl_tasks.learning.nets.towers import Towers
from tombolo.fl_tasks.learning.nets.training import Sample, Training
from tombolo.fl_tasks.learning.trees.bins import MOST_BINS
from tombolo.fl_tasks.learning.trees.boosting import Plan
from tombolo.fl_tasks.protocols.vertical_mlp.grid import WEIGHT_BITS

Floats = npt.NDArray[np.float64]
_XGBOOST = {"logistic": "binary:logistic", "squared": "reg:squarederror", "softmax": "multi:softprob"}


@dataclass(frozen=True)
class Rows:
    """Labels and weights of all aligned rows, shape (n,), and which of them are held out."""

    labels: Floats
    weights: Floats
    test: npt.NDArray[np.bool_]


def reference_metrics(
    task: TaskTerms, limits: LimitTerms, params: Mapping[str, Any], rounds: int, features: npt.NDArray[Any], rows: Rows
) -> dict[str, float]:
    """Train on the rows that are not held out, measure on those that are; ``features`` (n, d) as the run encoded them."""
    return measure(task.outcome, rows.labels[rows.test], reference_totals(task, limits, params, rounds, features, rows))


def reference_totals(
    task: TaskTerms, limits: LimitTerms, params: Mapping[str, Any], rounds: int, features: npt.NDArray[Any], rows: Rows
) -> Floats:
    """Total scores of the held-out rows after training on the others: shape (rows,), or (rows, classes) of several classes."""
    if task.boosting is not None:
        plan = Plan.of(task.boosting.objective, task.boosting.classes, params, limits.minimum_leaf_rows)
        return _boosted(plan, rounds, features, rows)
    train = ~rows.test
    if task.network is not None:
        return _descended(Training.of(task.network, params, features.shape[1]), rounds, features, rows)
    fit = _linear if task.outcome == "number" else _logistic
    weights, intercept = fit(features[train], rows.labels[train], float(params["l2"]))
    return np.asarray(features[rows.test] @ weights + intercept, dtype=np.float64)


def towers_totals(
    network: NetworkTerms,
    params: Mapping[str, Any],
    rounds: int,
    blocks: Mapping[str, Floats],
    rows: Rows,
    begun: Mapping[str, Mapping[str, Any]],
    batches: Sequence[npt.NDArray[np.int64]],
) -> Floats:
    """Totals of the held-out rows by a vertical network that is trained in one place: on ``blocks`` by party, the guest first, from
    the first weights that the parties had ``begun`` with. Shape (n,), or (n, classes)."""
    guest, *hosts = blocks
    between = {party: (begun[party]["share"], begun[guest]["shares"][party]) for party in hosts}
    whole = Towers(
        network,
        blocks,
        guest,
        begun[guest]["w"],
        {party: begun[party]["w"] for party in hosts},
        {party: sum(np.array(one[0], dtype=object) for one in shares) / 2.0**WEIGHT_BITS for party, shares in between.items()},
    )
    y = rows.labels[~rows.test]
    mean, scale = (float(y.mean()), float(y.std()) or 1.0) if network.outcome == "number" else (0.0, 1.0)
    train = {party: x[~rows.test] for party, x in blocks.items()}
    whole.descend(train, (y - mean) / scale, batches, rounds, float(params["step"]), float(params["momentum"]))
    outputs = whole.outputs({party: x[rows.test] for party, x in blocks.items()}) * scale + mean
    return outputs if outputs.shape[1] > 1 else outputs[:, 0]


def _boosted(plan: Plan, rounds: int, codes: npt.NDArray[Any], rows: Rows) -> Floats:
    """Margins of the held-out rows by XGBoost; codes of 0 are missing values. Shape (n,), or (n, classes)."""
    import xgboost

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
    booster = xgboost.train(settings, matrix(train), rounds)
    return np.asarray(booster.predict(matrix(rows.test), output_margin=True), dtype=np.float64)


def _descended(training: Training, rounds: int, x: Floats, rows: Rows) -> Floats:
    """Outputs for the held-out rows, without rounds, noise or validation rows. Shape (n,), or (n, classes)."""
    train = ~rows.test
    y = rows.labels[train]
    mean, scale = (float(y.mean()), float(y.std()) or 1.0) if training.outcome == "number" else (0.0, 1.0)
    alone = replace(training, proximal=0.0, epochs=rounds * training.epochs)
    sample = Sample(x[train], (y - mean) / scale)
    w = alone.descended(alone.initial(), sample, alone.orders(len(sample), "pooled"))
    outputs = alone.net.outputs(w, x[rows.test]) * scale + mean
    return outputs if outputs.shape[1] > 1 else outputs[:, 0]


def fit_alone(protocol: str, x: Floats, y: Floats, l2: float) -> tuple[Floats, float]:
    """Weights (d,) and intercept of a protocol's optimum if one party had all columns (of the Taylor form too)."""
    if protocol == "logistic-taylor":  # 1/4 of the squared distance to 4 y - 2
        return _linear(x, 4 * y - 2, 4 * l2)
    return (_linear if protocol == "linear" else _logistic)(x, y, l2)


def _linear(x: Floats, y: Floats, l2: float) -> tuple[Floats, float]:
    """Ridge regression in closed form; by least squares on an augmented system, which stays accurate where columns repeat."""
    mean_x, mean_y = x.mean(axis=0), float(y.mean())
    rows = np.vstack([(x - mean_x) / np.sqrt(len(x)), np.sqrt(l2) * np.eye(x.shape[1])])
    target = np.concatenate([(y - mean_y) / np.sqrt(len(x)), np.zeros(x.shape[1])])
    weights = np.linalg.lstsq(rows, target, rcond=None)[0]
    return weights, mean_y - float(mean_x @ weights)


def _logistic(x: Floats, y: Floats, l2: float) -> tuple[Floats, float]:
    from sklearn.linear_model import LogisticRegression

    strength = 1.0 / (len(x) * l2) if l2 > 0 else np.inf
    model = LogisticRegression(C=strength, solver="newton-cholesky", tol=1e-10, max_iter=1000).fit(x, y)
    return model.coef_[0].astype(np.float64), float(model.intercept_[0])
