"""A hospital with labels and a small one without, few patients in common: tables, a federation, and training by role programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tests.federation import Federation, federation
from tombolo.fl_tasks.protocols.transfer import programs as transfer
from tombolo.fl_tasks.protocols.transfer.rows import TransferRows

ROLES = {"hospital": "guest", "practice": "host"}
TERMS = {"components": 4, "width": 3, "hidden": []}
LIMITS = {"minimum_numbers_per_weight": 3}


def tables(rows: int = 240, common: int = 80, seed: int = 3) -> dict[str, pa.Table]:
    """Patients 0 to ``common`` are at both; the next at the hospital, the last at the practice. Two causes show in all columns."""
    rng = np.random.default_rng(seed)
    cause = rng.normal(size=(rows, 2))
    label = (cause @ [1.5, -1.0] + rng.logistic(size=rows) > 0).astype(int)
    seen = {party: cause @ rng.normal(size=(2, 5)) + 0.6 * rng.normal(size=(rows, 5)) for party in ROLES}
    half = (rows - common) // 2
    made = {}
    for party, start in (("hospital", common), ("practice", common + half)):
        at = rng.permutation(np.r_[np.arange(common), np.arange(start, start + half)])
        columns: dict[str, Any] = {"id": [f"p-{one:04d}" for one in at]}
        columns |= {f"{party}_{name}": seen[party][at, index] for index, name in enumerate("abcde")}
        made[party] = pa.table(columns | ({"label": label[at]} if party == "hospital" else {}))
    return made


def layout(
    root: Path,
    made: dict[str, pa.Table] | None = None,
    terms: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
    **parameters: Any,
) -> Federation:
    """A federation of the two; ``parameters`` are the run's defaults."""
    given = {"rounds": {"default": 4, "min": 1, "max": 50}, "pretraining": 30, "class_weights": "balanced", **parameters}
    document = {"task_terms": {"transfer": {**TERMS, **(terms or {})}}, "scores": ["practice"], "limits": limits or LIMITS}
    return federation(root, tables(), roles=ROLES, protocol="transfer", parameters=given, **document)


def trained(fed: Federation, run: str, rows: dict[str, TransferRows], **options: Any) -> dict[str, Any]:
    """The last state of both role programs on given rows."""
    programs = {
        "guest": lambda session: transfer.PROGRAMS.data["guest"](session, rows["hospital"]),
        "host": lambda session: transfer.PROGRAMS.data["host"](session, rows["practice"]),
    }
    return fed.roles(run, transfer.MESSAGES, "train", programs, **options)


def numbers(common: int = 60, own: int = 90, seed: int = 5) -> dict[str, TransferRows]:
    """Encoded rows of both, common ones first."""
    rng = np.random.default_rng(seed)
    cause = rng.normal(size=(common + own, 2))
    x = {party: np.clip(cause @ rng.normal(size=(2, 4)) + 0.5 * rng.normal(size=(common + own, 4)), -3, 3) for party in ROLES}
    y = (cause[:, 0] + 0.3 * rng.normal(size=common + own) > 0.5).astype(float)
    return {"hospital": TransferRows(x["hospital"], y, common), "practice": TransferRows(x["practice"], None, common)}
