"""The report of a run on one machine: JSON for programs, one table for people."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

STAGES = ("join", "validate", "align", "train", "evaluate", "publish")
_SCHEMA = "tombolo.report/1"


def build(
    *,
    agreement: str,
    protocol: str,
    run: str,
    federated: Mapping[str, float],
    pooled: Mapping[str, float],
    guest_only: Mapping[str, float],
    rows: Mapping[str, int],
    rounds: int,
    losses: Sequence[float],
    seconds: Mapping[str, float],
    bytes_sent: Mapping[str, int],
    **more: Any,
) -> dict[str, Any]:
    """The report as a document; ``seconds`` holds one entry per stage and ``total``."""
    return {
        "schema": _SCHEMA,
        "agreement": agreement,
        "protocol": protocol,
        "run": run,
        "metrics": {"federated": dict(federated), "pooled": dict(pooled), "guest_only": dict(guest_only)},
        "rows": dict(rows),
        "rounds": rounds,
        "loss": list(losses),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "bytes_sent": dict(bytes_sent),
        **more,
    }


def write(report: Mapping[str, Any], path: Path) -> None:
    """Whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    os.replace(part, path)


def show(report: Mapping[str, Any], console: Any) -> None:
    """Print metrics, rounds, seconds per stage and bytes per party as one table."""
    from rich.table import Table

    table = Table(title=f"{report['agreement']}: {report['protocol']}, run {report['run']}", title_justify="left")
    for column in ("", "federated", "pooled", "guest alone"):
        table.add_column(column, justify="left" if not column else "right")
    metrics = report["metrics"]
    for name in metrics["federated"]:
        values = (metrics[model].get(name) for model in ("federated", "pooled", "guest_only"))
        table.add_row(_title(name), *("" if value is None else f"{value:.6f}" for value in values))
    table.add_section()
    rows = report["rows"]
    table.add_row("rows", f"{rows['common']:,} common", f"{rows['train']:,} trained on", f"{rows['test']:,} held out")
    table.add_row("rounds", f"{report['rounds']}")
    table.add_section()
    for name, value in report["seconds"].items():
        table.add_row(f"seconds, {name}", f"{value:.1f}")
    table.add_section()
    for party, size in report["bytes_sent"].items():
        table.add_row(f"bytes sent, {party}", f"{size:,}")
    console.print(table)


def _title(metric: str) -> str:
    return {"auc": "AUC", "ks": "KS", "logloss": "log-loss", "rmse": "RMSE", "r2": "R2"}.get(metric, metric)
