"""Hospitals with other patients each, as a real federation over directory stores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from tests.federation import Federation, federation

HOSPITALS = ("north", "east", "south", "west")
LIMITS = {"minimum_batch": 50, "minimum_row_difference": 0}
FEATURES: dict[str, Any] = {"age": {"missing": "mean"}, "dose": {}, "ward": {"levels": ["a", "b"]}}
RANGED: dict[str, Any] = {**FEATURES, "age": {"missing": "mean", "range": [20, 90]}, "dose": {"range": [0, 2e-3]}}


def tables(outcome: str = "binary", rows: int = 60, seed: int = 3) -> dict[str, pa.Table]:
    """Rows of different populations, so that no hospital's own model is the joint one."""
    random, made = np.random.default_rng(seed), {}
    for shift, name in enumerate(HOSPITALS):
        count = rows + 10 * shift
        age, dose = random.normal(50 + 5 * shift, 10, count), random.gamma(2.0, 2e-4, count)
        ward = random.choice(["a", "b", "c"], count)
        signal = (age - 55) / 10 - (dose - 4e-4) / 3e-4 + (ward == "a")
        label = 1e4 * signal + 1e5 if outcome == "number" else (signal + random.logistic(size=count) > 0).astype(int)
        if outcome == "number":
            label = label + random.normal(size=count) * 3e3
        if outcome == "classes":
            label = np.digitize(signal + random.logistic(size=count) / 2, [-1.0, 1.0])
        missing = random.random(count) < 0.1
        columns = {"age": pa.array(np.where(missing, np.nan, age)), "dose": dose, "ward": ward, "label": label}
        made[name] = pa.table({"id": [f"{name}{index}" for index in range(count)], **columns, "note": ["x"] * count})
    return made


def hospitals(
    tmp_path,
    outcome: str = "binary",
    horizontal: dict[str, Any] | None = None,
    terms: dict[str, Any] | None = None,
    task: dict[str, Any] | None = None,
    **parameters: Any,
) -> Federation:
    """A horizontal agreement of four hospitals and a centre; ``task`` overrides what there is to learn."""
    task = {
        "protocol": {"binary": "horizontal-logistic", "number": "horizontal-linear"}.get(outcome),
        "label": {"column": "label"},
        "horizontal": {"features": FEATURES, "step_seconds": 5, **(horizontal or {})},
        "parameters": {"l2": 0.01, "rounds": {"default": 15, "min": 1, "max": 30}, **parameters},
        **(task or {}),
    }
    roles = dict.fromkeys(HOSPITALS, "client") | {"centre": "aggregator"}
    return federation(tmp_path, tables(outcome), roles, task=task, limits=LIMITS, **(terms or {}))


def networks(
    tmp_path,
    outcome: str = "classes",
    privacy: dict[str, Any] | None = None,
    terms: dict[str, Any] | None = None,
    **parameters: Any,
) -> Federation:
    """The same hospitals with a network to learn; with ``privacy``, columns have agreed ranges."""
    task = {
        "protocol": "horizontal-mlp",
        "network": {"hidden": [5], "activation": "tanh", "outcome": outcome, "classes": 3 if outcome == "classes" else 2},
        "privacy": privacy,
        "label": {"column": "label", "range": [4e4, 16e4] if privacy and outcome == "number" else None},
    }
    horizontal = {"features": FEATURES if privacy is None else RANGED}
    return hospitals(tmp_path, outcome, horizontal, terms, task, batch_rows=16, **{"rounds": 4, **parameters})
