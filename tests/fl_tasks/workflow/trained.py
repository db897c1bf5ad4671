"""A small federation whose run has been trained for a few rounds: what evaluation, publication and prediction start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tests.federation import Federation, federation
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.train import train
from tombolo.fl_tasks.workflow.validate import validate

ROWS = 420
WEIGHTS = np.array([1.5, -1.0, 1.0, 2.0, 0.5, -0.5])


def sample(seed: int, rows: int = ROWS, linear: bool = False) -> tuple[dict[str, pa.Table], dict[str, float]]:
    """Tables of a clinic (with labels), a lab and a bank, rows in different orders, and the label by id."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 6))
    u = x @ WEIGHTS
    label = u + rng.normal(size=rows) if linear else (u + rng.logistic(size=rows) > 0).astype(int)
    ids = np.array([f"{seed}-{index:04d}" for index in range(rows)])
    tables = {}
    for index, party in enumerate(("clinic", "lab", "bank")):
        order = rng.permutation(rows)
        columns = {"id": ids[order], f"{party}_a": x[order, 2 * index], f"{party}_b": x[order, 2 * index + 1]}
        tables[party] = pa.table({**columns, "label": label[order]} if party == "clinic" else columns)
    return tables, dict(zip(ids.tolist(), label.tolist(), strict=True))


def trained(root: Path, *parties: str, protocol: str = "logistic-arbiter", **terms: Any) -> Federation:
    """Lay out, join, validate, align and train run ``run-1`` of these data parties and a notary."""
    tables, _ = sample(1, linear=protocol == "linear")
    parameters = {"rounds": 3, "test_fraction": 0.3}
    made = federation(root, {party: tables[party] for party in parties}, protocol=protocol, parameters=parameters, **terms)
    made.start()
    for stage in (validate, align):
        made.stage(stage, "run-1")
    made.stage(train, "run-1", leg_end=None)
    return made


def settle(made: Federation, party: str, name: str, table: pa.Table) -> None:
    """Point one of a party's tables (``predict_table``, ``labels_table``) at a new file."""
    file = made.root / party / f"{name}.parquet"
    pq.write_table(table, file)
    settings = yaml.safe_load(made.settings(party).read_text())
    settings["agreements"]["trial"][name] = {"source": "parquet", "path": file.name}
    made.settings(party).write_text(yaml.safe_dump(settings))
