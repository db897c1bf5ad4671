"""Transfer: seconds and bytes per round, by common rows, width and class weights.

``python -m benchmarks.transfer [--quick] [OUTPUT.json]`` simulates runs with generated tables and 2048-bit keys. Both parties are
processes on this machine. The cost of a run with a single round is subtracted, so that the work before the first round does not
count.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

SIZES = ((100, 4, "none"), (100, 8, "none"), (500, 8, "none"), (100, 8, "balanced"))
COLUMNS, COMPONENTS, OWN, ROUNDS = 12, 5, 1000, 4
_OUT = Path(".tombolo/bench/transfer")


def write_tables(folder: Path, common: int) -> dict[str, Path]:
    """Write generated tables, the same in every run: ``common`` rows to train on, a quarter more held out, own rows per party."""
    import numpy as np
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    shared, files = common * 5 // 4, {}
    rng = np.random.default_rng(common)
    cause = rng.normal(size=(shared + 2 * OWN, 3))
    for number, party in enumerate(("source", "target")):
        rows = np.r_[np.arange(shared), shared + number * OWN : shared + (number + 1) * OWN]
        x = cause[rows] @ rng.normal(size=(3, COLUMNS)) + rng.normal(size=(len(rows), COLUMNS))
        frame = pd.DataFrame(x, columns=[f"x{index}" for index in range(COLUMNS)])
        frame.insert(0, "id", [f"U-{row}" for row in rows])
        if party == "source":
            frame["y"] = (cause[rows, 0] + rng.logistic(size=len(rows)) > 0).astype(int)
        files[party] = folder / f"{party}.parquet"
        frame.to_parquet(files[party], index=False)
    return files


def agreement(folder: Path, width: int, weights: str) -> Path:
    """Write the terms of the benchmark."""
    import yaml

    rounds = {"default": ROUNDS, "min": 1, "max": ROUNDS}
    terms = {
        "schema": "tombolo.terms/1",
        "name": f"transfer-{width}-{weights}",
        "parties": {"source": {"role": "guest"}, "target": {"role": "host"}},
        "task": {
            "protocol": "transfer",
            "label": {"column": "y"},
            "transfer": {"components": COMPONENTS, "width": width},
            "parameters": {"rounds": rounds, "class_weights": weights, "loss_change": 0.0, "test_fraction": 0.2},
        },
        "alignment": {"id": [{"column": "id"}]},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "agreement.yaml").write_text(yaml.safe_dump(terms, sort_keys=False), encoding="utf-8")
    return folder


def measure(common: int, width: int, weights: str) -> dict[str, Any]:
    """Seconds and bytes per round: the cost of a run with several rounds minus that of a run with one round."""
    from tombolo.cli.simulate import simulated

    folder = _OUT / f"{common}-{width}-{weights}"
    tables, terms = write_tables(folder / "tables", common), agreement(folder / "terms", width, weights)
    single, some = (
        simulated(terms, tables, {"rounds": rounds}, None, folder / "run", Console(quiet=True)) for rounds in (1, ROUNDS)
    )
    sent = {party: (some["bytes_sent"][party] - single["bytes_sent"][party]) / (ROUNDS - 1) for party in some["bytes_sent"]}
    return {
        "common": common,
        "width": width,
        "class_weights": weights,
        "seconds_per_round": round((some["seconds"]["train"] - single["seconds"]["train"]) / (ROUNDS - 1), 2),
        "bytes_per_round_source": round(sent["source"]),
        "bytes_per_round_target": round(sent["target"]),
    }


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("output", nargs="?", type=Path, default=Path(".tombolo/bench/transfer.json"))
    parser.add_argument("--quick", action="store_true", help="only the smallest size")
    given = parser.parse_args()
    console = Console(width=120)
    figures = [measure(*size) for size in (SIZES[:1] if given.quick else SIZES)]
    table = Table(title=f"Transfer, {COMPONENTS} inputs of {COLUMNS} columns, 2048 bits", title_justify="left")
    for column in ("common rows", "width", "class weights", "seconds per round", "bytes, source", "bytes, target"):
        table.add_column(column, justify="right")
    for line in figures:
        sent = f"{line['bytes_per_round_source']:,}", f"{line['bytes_per_round_target']:,}"
        table.add_row(f"{line['common']}", f"{line['width']}", line["class_weights"], f"{line['seconds_per_round']:.2f}", *sent)
    console.print(table)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps({"transfer": figures}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
