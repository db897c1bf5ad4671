"""The overhead of Airflow: the demo's stages in three Airflows, compared with the same agreement and tables without Airflow.

``python -m benchmarks.orchestration [--quick] [OUTPUT.json]`` reads the report of the last ``make demo``, then simulates the same
run.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

DEMO = Path(".tombolo/demo")
AGREEMENT = Path("federations/wdbc")
GOAL_SECONDS, STRETCH_SECONDS = 60.0, 30.0


def measure(demo: dict[str, Any], console: Console) -> dict[str, Any]:
    """Seconds per stage with and without Airflow, and the overhead: how much longer all stages together take in Airflow."""
    from tombolo.cli.demo.wdbc import write_tables
    from tombolo.cli.simulate import simulated

    tables = write_tables(Path(".tombolo/bench/tables"))
    data = {party: own.table for party, own in tables.items()}
    simulation = simulated(AGREEMENT, data, {}, None, Path(".tombolo/bench/simulation"), console)
    stages = {
        name: {"airflow": demo["seconds"][name], "plain": seconds, "overhead": demo["seconds"][name] - seconds}
        for name, seconds in simulation["seconds"].items()
        if name in demo["seconds"]
    }
    overhead = stages["total"]["overhead"]
    return {
        "stages": stages,
        "overhead_seconds": overhead,
        "goal_seconds": GOAL_SECONDS,
        "reached": overhead < GOAL_SECONDS,
    }


def show(found: dict[str, Any], console: Console) -> None:
    """Print the figures."""
    table = Table(title="The demo in Airflow, compared with a simulation without Airflow", title_justify="left")
    for column in ("stage", "with Airflow, s", "without, s", "overhead, s"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for name, seconds in found["stages"].items():
        table.add_row(name, *(f"{seconds[side]:.1f}" for side in ("airflow", "plain", "overhead")))
    console.print(table)
    verdict = "reached" if found["reached"] else "missed"
    console.print(
        f"Goal: overhead below {GOAL_SECONDS:.0f} s for all stages together (if possible, {STRETCH_SECONDS:.0f} s): {verdict}."
    )


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("output", nargs="?", type=Path, default=Path(".tombolo/bench/orchestration.json"))
    parser.add_argument("--quick", action="store_true", help="has no effect; there is only one size")
    options = parser.parse_args()
    console, report = Console(), DEMO / "report.json"
    if not report.is_file():
        console.print(f"Skipped: there is no {report}; run `make demo` first.")
        return
    figures = measure(json.loads(report.read_text(encoding="utf-8")), console)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    show(figures, console)


if __name__ == "__main__":
    main()
