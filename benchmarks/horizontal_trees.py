"""Horizontal trees: seconds and bytes per tree, by the number of clients.

``python -m benchmarks.horizontal_trees [--quick] [OUTPUT.json]`` simulates runs of trees of depth 4 over 20 columns in 32 bins,
with 5,000 generated training rows at each of 3, 6 and 9 clients. Every party is a process on this machine. The cost of a run with
a single tree is subtracted, so that the work before the first tree does not count.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

CLIENTS, ROWS, COLUMNS, TREES = (3, 6, 9), 5_000, 20, 4
_OUT = Path(".tombolo/bench/horizontal_trees")


def write_tables(folder: Path, clients: int, rows: int) -> dict[str, Path]:
    """Write generated tables, the same in every run. A fifth of their rows is held out."""
    import numpy as np
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for number in range(clients):
        rng, total = np.random.default_rng(number), rows * 5 // 4
        x = rng.normal(0.1 * number, 1.0, (total, COLUMNS))
        frame = pd.DataFrame(x, columns=[f"x{index}" for index in range(COLUMNS)])
        frame.insert(0, "id", [f"{number}-{index}" for index in range(total)])
        frame["y"] = (np.abs(x[:, 0]) + x[:, 1] * x[:, 2] + rng.logistic(size=total) > 0.8).astype(int)
        files[f"client-{number}"] = folder / f"client-{number}.parquet"
        frame.to_parquet(files[f"client-{number}"], index=False)
    return files


def agreement(folder: Path, clients: int) -> Path:
    """Write the terms of the benchmark."""
    import yaml

    terms = {
        "schema": "tombolo.terms/1",
        "name": f"trees-{clients}",
        "parties": {**{f"client-{n}": {"role": "client"} for n in range(clients)}, "centre": {"role": "aggregator"}},
        "task": {
            "protocol": "horizontal-trees",
            "label": {"column": "y"},
            "horizontal": {"features": {f"x{index}": {} for index in range(COLUMNS)}},
            "parameters": {"rounds": {"default": TREES, "min": 1, "max": TREES}, "depth": 4, "bins": 32, "test_fraction": 0.2},
        },
        "alignment": {"id": [{"column": "id"}]},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "agreement.yaml").write_text(yaml.safe_dump(terms, sort_keys=False), encoding="utf-8")
    return folder


def measure(clients: int, rows: int) -> dict[str, Any]:
    """Seconds and bytes per tree: the cost of a run with several trees minus that of a run with one tree."""
    from tombolo.cli.simulate import simulated

    folder = _OUT / str(clients)
    tables, terms = write_tables(folder / "tables", clients, rows), agreement(folder / "terms", clients)
    single, some = (simulated(terms, tables, {"rounds": trees}, None, folder / "run", Console(quiet=True)) for trees in (1, TREES))
    sent = {party: (some["bytes_sent"][party] - single["bytes_sent"][party]) / (TREES - 1) for party in some["bytes_sent"]}
    of_clients = [size for party, size in sent.items() if party != "centre"]
    return {
        "clients": clients,
        "rows": rows * clients,
        "seconds_per_tree": round((some["seconds"]["train"] - single["seconds"]["train"]) / (TREES - 1), 2),
        "bytes_per_tree_client": round(sum(of_clients) / len(of_clients)),
        "bytes_per_tree_aggregator": round(sent["centre"]),
    }


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("output", nargs="?", type=Path, default=Path(".tombolo/bench/horizontal_trees.json"))
    parser.add_argument("--quick", action="store_true", help="three clients and few rows")
    given = parser.parse_args()
    console = Console(width=120)
    figures = [measure(clients, 500 if given.quick else ROWS) for clients in (CLIENTS[:1] if given.quick else CLIENTS)]
    table = Table(title=f"Trees of depth 4, {COLUMNS} columns, 32 bins", title_justify="left")
    for column in ("clients", "rows in all", "seconds per tree", "bytes per tree, a client", "bytes per tree, the aggregator"):
        table.add_column(column, justify="right")
    for line in figures:
        table.add_row(
            f"{line['clients']}",
            f"{line['rows']:,}",
            f"{line['seconds_per_tree']:.2f}",
            f"{line['bytes_per_tree_client']:,}",
            f"{line['bytes_per_tree_aggregator']:,}",
        )
    console.print(table)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps({"trees": figures}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
