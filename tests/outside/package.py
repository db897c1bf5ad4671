"""An agreement with the example's protocol, and its tables: a shop with labels, a bank, and a regulator who validates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "tombolo-mean-difference"
DISTRIBUTION, MODULE = "tombolo-mean-difference", "tombolo_mean_difference"
ROLES = {"shop": "guest", "bank": "host", "regulator": "validator"}
SHRINK = {"default": 0.1, "min": 0, "max": 0.5}
ROWS = 400


def tables(positive: int | None = None) -> dict[str, pa.Table]:
    """By party; with ``positive``, so many rows are of class 1."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(ROWS, 5))
    logit = x @ [1.0, -1.0, 0.5, 0.0, 2.0] + rng.logistic(size=ROWS)
    label = logit > (0 if positive is None else np.sort(logit)[-positive - 1])
    ids = [f"id-{number}" for number in range(ROWS)]
    return {
        "shop": pa.table({"id": ids, "label": label.astype(int), "a": x[:, 0], "b": x[:, 1]}),
        "bank": pa.table({"id": ids, "c": x[:, 2], "d": x[:, 3], "e": x[:, 4]}),
    }


def json_lines(table: pa.Table) -> str:
    return "".join(json.dumps(row) + "\n" for row in table.to_pylist())


def agreement(folder: Path, name: str = "outside", protocol: str = "mean-difference", **task: Any) -> Path:
    """Write the terms of an agreement below a folder; returns the agreement's own folder."""
    document = {
        "schema": "tombolo.terms/2",
        "name": name,
        "parties": {party: {"role": role} for party, role in ROLES.items()},
        "task": {"protocol": protocol, "label": {"column": "label"}, "parameters": {"shrink": SHRINK}, **task},
        "alignment": {"id": [{"column": "id"}]},
        "scores": ["shop"],
        "schedule": "@weekly",
    }
    (folder / name).mkdir(parents=True)
    (folder / name / "agreement.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return folder / name
