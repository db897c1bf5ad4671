"""An epoch of a vertical network with one host, at 2048 bits or on dealt shares: seconds, bytes and memory by rows and by widths.

``python -m benchmarks.neural [--quick] [--dealer] [OUTPUT.json]``. Each party is a process with one worker. It trains on
generated tables of ten columns per party, with exchange, sealing and booking. The first epoch does not count, because it also makes
keys and tables of powers.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

COLUMNS = {"guest": 10, "host": 10}
CASES = ((1_000, 4, 2), (4_000, 4, 2), (1_000, 8, 4), (4_000, 8, 4), (16_000, 4, 2))
"""Number of rows, units of each party, joint units."""
_DEALT = ((100_000, 4, 2),)
"""More cases, only with dealt shares."""
_QUICK = 1
_EPOCHS = 2
_OUT = Path(".tombolo/bench/neural")


def write_tables(folder: Path, rows: int) -> dict[str, Path]:
    """Write generated tables, the same in every run. They have some more rows, which are held out."""
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    rng, total = np.random.default_rng(7), rows + 100
    x = rng.normal(size=(total, sum(COLUMNS.values())))
    ids, files, start = [f"P{index:06d}" for index in range(total)], {}, 0
    for party, width in COLUMNS.items():
        frame = pd.DataFrame(x[:, start : start + width], columns=[f"{party}_{index}" for index in range(width)])
        frame.insert(0, "id", ids)
        if party == "guest":
            frame["y"] = (x.sum(axis=1) + 4 * x[:, 0] * x[:, -1] > 0).astype(int)
        files[party] = folder / f"{party}.parquet"
        frame.to_parquet(files[party], index=False)
        start += width
    split = folder / "split.csv"
    pd.DataFrame({"id": ids, "set": ["train"] * rows + ["test"] * 100}).to_csv(split, index=False)
    return {**files, "split": split}


def agreement(folder: Path, bottom: int, joint: int, dealer: bool) -> Path:
    """Write the terms of the benchmark. All rows are one batch."""
    import yaml

    from tombolo.fl_tasks.learning.vertical.roles import DEALER_WAIVER

    terms = {
        "schema": "tombolo.terms/1",
        "name": "network",
        "parties": {party: {"role": party} for party in (*COLUMNS, *(["arbiter"] if dealer else []))},
        "task": {
            "protocol": "vertical-mlp",
            "label": {"column": "y"},
            "network": {"bottom": bottom, "hidden": [joint]},
            "parameters": {"rounds": _EPOCHS},
            **({"engine": "dealer", "waivers": [DEALER_WAIVER]} if dealer else {}),
        },
        "alignment": {"id": [{"column": "id"}]},
        "limits": {"minimum_rows_per_weight": 10},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "agreement.yaml").write_text(yaml.safe_dump(terms, sort_keys=False), encoding="utf-8")
    return folder


def work(settings: Path, run: str) -> dict[str, Any]:
    """Run one party, in its own process. Returns seconds, CPU seconds and bytes sent in the second epoch, and the peak MiB."""
    import math
    import resource

    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.waiting import Wait
    from tombolo.fl_tasks.workflow.align import align
    from tombolo.fl_tasks.workflow.join import join
    from tombolo.fl_tasks.workflow.train import train
    from tombolo.fl_tasks.workflow.validate import validate

    context, wait = PartyContext.open("network", settings), Wait(math.inf)
    for stage in (join, validate, align):
        stage(context, run, wait, progress=lambda _: None)
    train(context, run, wait, progress=lambda _: None, leg_end=1)
    began, cpu = time.monotonic(), time.process_time()
    train(context, run, wait, progress=lambda _: None)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    sent = sum(entry.size for entry in context.books(run).entries("sent") if "/000002/train." in entry.address)
    return {"seconds": seconds, "cpu": cpu, "bytes": sent, "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def measure(rows: int, bottom: int, joint: int, dealer: bool) -> dict[str, Any]:
    """Measure one case."""
    from tombolo.cli.simulation.layout import lay_out
    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.workflow.join import invite

    os.environ["TOMBOLO_WORKERS"] = "1"
    tables = write_tables(_OUT / "tables", rows)
    files = {party: tables[party] for party in COLUMNS}
    laid = lay_out(agreement(_OUT / "agreement", bottom, joint, dealer), files, tables["split"], _OUT / "run")
    invite(PartyContext.open("network", laid.settings["guest"]), "bench", "train", {})
    with ProcessPoolExecutor(len(laid.settings), mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = {party: pool.submit(work, file, "bench") for party, file in laid.settings.items()}
        results = {party: future.result() for party, future in futures.items()}
    return {
        "rows": rows,
        "bottom": bottom,
        "joint": joint,
        "seconds_per_epoch": max(result["seconds"] for result in results.values()),
        "cpu_per_epoch": {party: result["cpu"] for party, result in results.items()},
        "bytes_per_epoch": {party: result["bytes"] for party, result in results.items()},
        "most_mib": round(max(result["mib"] for result in results.values())),
    }


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only the smallest case")
    parser.add_argument("--dealer", action="store_true", help="use dealt shares instead of Paillier")
    parser.add_argument("output", type=Path, nargs="?", metavar="OUTPUT.json")
    options = parser.parse_args()
    cases = (*CASES, *_DEALT) if options.dealer else CASES
    measured = [measure(*case, options.dealer) for case in (cases[:_QUICK] if options.quick else cases)]
    form, parties = ("dealt shares" if options.dealer else "2048 bits"), list(measured[0]["cpu_per_epoch"])
    table = Table(title=f"An epoch of a vertical network: 10 and 10 columns, one host, {form}", title_justify="left")
    names = [*(f"CPU s, {party}" for party in parties), *(f"MB, {party}" for party in parties), "MiB at most"]
    for name in ("rows", "units of each, joint", "seconds", *names):
        table.add_column(name, justify="right")
    for result in measured:
        sent = [count / 1e6 for count in result["bytes_per_epoch"].values()]
        figures = (result["seconds_per_epoch"], *result["cpu_per_epoch"].values(), *sent)
        table.add_row(
            f"{result['rows']:,}",
            f"{result['bottom']}, {result['joint']}",
            *(f"{figure:.2f}" for figure in figures),
            str(result["most_mib"]),
        )
    Console(width=110).print(table)
    if options.output is not None:
        options.output.write_text(json.dumps({"cases": measured}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
