"""The report of a run on one machine: JSON for programs, one table for people."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tombolo.agreements.kinds import KINDS

if TYPE_CHECKING:
    from tombolo.fl_tasks.workflow.comparison import Comparison

STAGES = KINDS["train"].stages
MODELS = {
    "federated": "federated",
    "pooled": "pooled",
    "pooled_survivors": "survivors",
    "guest_only": "guest alone",
    "best_client": "best client",
    "transfer": "transfer, new rows",
    "self_learning": "target alone",
}
_SCHEMA = "tombolo.report/1"


def build(
    *,
    agreement: str,
    protocol: str,
    run: str,
    compared: Comparison,
    rounds: int,
    losses: Sequence[float],
    seconds: Mapping[str, float],
    bytes_sent: Mapping[str, int],
    settlement: Mapping[str, Any],
    **more: Any,
) -> dict[str, Any]:
    """The report as a document. ``seconds`` has one entry per stage, and entries for other work that took time."""
    from tombolo.fl_tasks.learning.gains import SHARES, lift

    gains = compared.gains
    curves = {"shares": list(SHARES), **{name: list(gain) for name, gain in gains.items()}}
    return {
        "schema": _SCHEMA,
        "agreement": agreement,
        "protocol": protocol,
        "run": run,
        "metrics": compared.models,
        **({"lift": {name: lift(gain) for name, gain in gains.items()}, "gains": curves} if gains else {}),
        **({} if compared.margins is None else {"margins_off_by": compared.margins}),
        "rows": dict(compared.rows),
        "rounds": rounds,
        "loss": list(losses),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "bytes_sent": dict(bytes_sent),
        "settlement": dict(settlement),
        **more,
    }


def write(report: Mapping[str, Any], path: Path) -> None:
    """Write the report to a file. An interrupted write leaves no incomplete file."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    os.replace(part, path)


def show(report: Mapping[str, Any], console: Any) -> None:
    """Print a table of metrics, rounds, seconds per stage and bytes per party, then the block and the rewards."""
    from rich.table import Table

    table = Table(title=f"{report['agreement']}: {report['protocol']}, run {report['run']}", title_justify="left")
    metrics = report["metrics"]
    for column in ("", *(MODELS[model] for model in metrics)):
        table.add_column(column, justify="left" if not column else "right")
    for name in metrics["federated"]:
        values = (measured.get(name) for measured in metrics.values())
        table.add_row(_title(name), *("" if value is None else f"{value:.6f}" for value in values))
    if "lift" in report:
        table.add_row("lift, best tenth", *(f"{report['lift'][model]:.3f}" for model in metrics))
    if "margins_off_by" in report:
        table.add_row("margins, off by at most", f"{report['margins_off_by']:.1e}")
    table.add_section()
    rows = report["rows"]
    table.add_row("rows", f"{rows['common']:,} common", f"{rows['train']:,} for training", f"{rows['test']:,} held out")
    table.add_row("rounds", f"{report['rounds']}")
    table.add_section()
    for name, value in report["seconds"].items():
        table.add_row(f"seconds, {name}", f"{value:.1f}")
    table.add_section()
    for party, size in report["bytes_sent"].items():
        table.add_row(f"bytes sent, {party}", f"{size:,}")
    console.print(table)
    console.print(_settlement(report["settlement"]))


def _settlement(settled: Mapping[str, Any]) -> Any:
    """The block that all parties signed. If the agreement pays rewards, also each party's contribution and reward."""
    from rich.table import Table

    block = f"Block {settled['height']} ({settled['block'][:16]}), signed by {', '.join(settled['signers'])}"
    title = f"{block}; {settled['artifacts']:,} artifacts, all booked by both sides"
    if settled["unmatched"]:
        title = f"{block}; {settled['unmatched']} artifacts are not booked by both sides: see `tombolo audit show`"
    table = Table(title=title, title_justify="left")
    for column in ("", "Shapley value", "leave-one-out", "share of data", "reward"):
        table.add_column(column, justify="left" if not column else "right")
    contributed, paid = settled["contributions"], settled["rewards"]
    if contributed is None or paid is None:
        return title
    for party in sorted({*contributed["players"], *paid["refunds"]}):
        values = [(contributed[kind] or {}).get(party) for kind in ("shapley", "leave_one_out", "volume")]
        money = paid["rewards"].get(party, 0) + paid["refunds"].get(party, 0)
        shown = ("" if value is None else f"{value:.4f}" for value in values)
        table.add_row(party, *shown, f"{money / 100:,.2f} {paid['currency']}")
    return table


def _title(metric: str) -> str:
    titles = {"auc": "AUC", "ks": "KS", "logloss": "log-loss", "rmse": "RMSE", "r2": "R2", "auc_error": "AUC, off by at most"}
    return titles.get(metric, metric)
