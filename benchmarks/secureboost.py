"""SecureBoost at full size: seconds and bytes per tree, and the share of the work outside the cryptographic kernels.

``python -m benchmarks.secureboost [--quick] [--classes K] [--fate PYTHON] [OUTPUT.json]`` trains trees of depth 4 over 32 bins at
2048 bits: a guest with 5 columns, hosts with 6 and 12 (the shape of the UCI table of credit card clients), 18,185 training rows of
generated data. Each party is a single process, so that its CPU seconds are all of its work. The CPU seconds inside the kernels are
measured in the same processes. With more than two classes, figures are per round, which has one tree per class.

``--fate`` names the Python interpreter of another environment, which has ``pyfate==2.2.0``. FATE's hetero SecureBoost and ours then
train in turn on the same rows, with the same columns, depth, bins, key size, penalty and minimum leaf. Key generation does not
count.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

COLUMNS = {"guest": 5, "host1": 6, "host2": 12}
ROWS, TREES = 18_185, 3
PEER_TURNS = 2
_SETTING = {"key_bits": 2048, "depth": 4, "bins": 32}
_OUT = Path(".tombolo/bench/secureboost")


def write_tables(folder: Path, rows: int, classes: int) -> dict[str, Path]:
    """Write generated tables, the same in every run. They have a few more rows than ``rows``, which are held out.

    The label is 1 for about a fifth of the rows. With several classes, each class has about the same number of rows.
    """
    import numpy as np
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    rng, files = np.random.default_rng(7), {}
    total = rows + 200
    x = rng.normal(size=(total, sum(COLUMNS.values())))
    signal = x[:, :3].sum(axis=1) + np.abs(x[:, 5]) + x[:, 11] * x[:, 12]
    ids, start = [f"P{index:06d}" for index in range(total)], 0
    for party, columns in COLUMNS.items():
        frame = pd.DataFrame(x[:, start : start + columns], columns=[f"{party}_{index}" for index in range(columns)])
        frame.insert(0, "id", ids)
        if party == "guest":
            noisy = signal + rng.logistic(size=total)
            shares = np.arange(1, classes) / classes if classes > 2 else [0.78]
            frame["y"] = np.searchsorted(np.quantile(noisy if classes > 2 else signal, shares), noisy)
        files[party] = folder / f"{party}.parquet"
        frame.iloc[rng.permutation(total)].to_parquet(files[party], index=False)
        start += columns
    split = folder / "split.csv"
    pd.DataFrame({"id": ids, "set": ["train"] * rows + ["test"] * 200}).to_csv(split, index=False)
    return {**files, "split": split}


def agreement(folder: Path, classes: int) -> Path:
    """Write the terms of the benchmark."""
    import yaml

    terms = {
        "schema": "tombolo.terms/1",
        "name": "trees",
        "parties": {party: {"role": "guest" if party == "guest" else "host"} for party in COLUMNS},
        "task": {
            "protocol": "secureboost",
            "label": {"column": "y"},
            "boosting": {"objective": "softmax", "classes": classes} if classes > 2 else {},
            "parameters": {"rounds": {"default": TREES, "min": 1, "max": TREES}, **_SETTING},
        },
        "alignment": {"id": [{"column": "id"}]},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "agreement.yaml").write_text(yaml.safe_dump(terms, sort_keys=False), encoding="utf-8")
    return folder


def work(settings: Path, run: str) -> dict[str, Any]:
    """Run one party, in its own process. Returns seconds, CPU seconds and the kernels' CPU seconds of training; bytes per tree."""
    import math

    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.waiting import Wait
    from tombolo.fl_tasks.workflow.align import align
    from tombolo.fl_tasks.workflow.join import join
    from tombolo.fl_tasks.workflow.train import train
    from tombolo.fl_tasks.workflow.validate import validate

    context, wait = PartyContext.open("trees", settings), Wait(math.inf)
    for stage in (join, validate, align):
        stage(context, run, wait, progress=lambda _: None)
    train(context, run, wait, progress=lambda _: None, leg_end=1)  # key generation and tables of powers do not count
    kernels = timed_kernels()
    began, cpu = time.monotonic(), time.process_time()
    train(context, run, wait, progress=lambda _: None)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    sent = [entry.size for entry in context.books(run).entries("sent") if "/000002/train." in entry.address]
    return {"seconds": seconds, "cpu": cpu, "kernels": kernels, "bytes": sum(sent)}


def timed_kernels() -> dict[str, float]:
    """Start to measure this process's CPU seconds inside each kernel. The returned dict is filled while the process works."""
    import importlib

    from tombolo.fl_tasks.crypto.ahead import Ahead
    from tombolo.fl_tasks.crypto.vector import CipherVector

    guest, host = (importlib.import_module(f"tombolo.fl_tasks.protocols.secureboost.{role}") for role in ("guest", "host"))
    spent: dict[str, float] = {}
    inside = [False]

    def timed(owner: Any, name: str, label: str) -> None:
        real: Callable[..., Any] = getattr(owner, name)

        def measured(*words: Any, **named: Any) -> Any:
            if inside[0]:
                return real(*words, **named)
            inside[0], began = True, time.process_time()
            try:
                return real(*words, **named)
            finally:
                spent[label] = spent.get(label, 0.0) + time.process_time() - began
                inside[0] = False

        setattr(owner, name, measured)

    timed(Ahead, "take", "encryptions of zero")
    timed(CipherVector, "add_plain", "encryptions of zero")
    timed(CipherVector, "from_arrow", "checking ciphertexts")
    timed(CipherVector, "rerandomise_full", "encryptions of zero")
    timed(host, "grouped_bin_sums", "sums per bin")
    timed(host, "compress", "compression")
    timed(guest, "decrypt", "decryption")
    return spent


def measure(rows: int, classes: int = 2) -> dict[str, Any]:
    """Run a training of ours and return all its figures."""
    from tombolo.cli.simulation.layout import lay_out
    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.workflow.join import invite

    os.environ["TOMBOLO_WORKERS"] = "1"
    tables = write_tables(_OUT / "tables", rows, classes)
    laid = lay_out(
        agreement(_OUT / "agreement", classes), {party: tables[party] for party in COLUMNS}, tables["split"], _OUT / "run"
    )
    invite(PartyContext.open("trees", laid.settings["guest"]), "bench", "train", {})
    with ProcessPoolExecutor(len(COLUMNS), mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = {party: pool.submit(work, file, "bench") for party, file in laid.settings.items()}
        results = {party: future.result() for party, future in futures.items()}
    trees = TREES - 1
    kernels: dict[str, float] = {}
    for result in results.values():
        for name, seconds in result["kernels"].items():
            kernels[name] = kernels.get(name, 0.0) + seconds / trees
    cpu, own = sum(result["cpu"] for result in results.values()) / trees, sum(kernels.values())
    return {
        "setting": {"rows": rows, "classes": classes, "columns": COLUMNS, **_SETTING, "processors": os.cpu_count()},
        "seconds_per_tree": max(result["seconds"] for result in results.values()) / trees,
        "cpu_per_tree": cpu,
        "kernels_per_tree": kernels,
        "kernels_cpu_per_tree": own,
        "other_work": (cpu - own) / own,
        "bytes_per_tree": {party: result["bytes"] for party, result in results.items()},
    }


def compare(python: Path, rows: int) -> dict[str, Any]:
    """Seconds per tree of ours and of FATE, measured in turn on the same rows."""
    import pandas as pd

    limits = {"l2": 1, "minimum_rows": 20, "minimum_weight": 5}  # equal to our terms: h is at most 1/4 per row
    setting = {"parties": list(COLUMNS), "trees": 1, "depth": 4, "bins": 32, "key_bits": 2048, **limits}
    driver, own, peer = Path(__file__).with_name("_fate_secureboost.py"), [], []
    for _ in range(PEER_TURNS):
        own.append(measure(rows)["seconds_per_tree"])
        split = pd.read_csv(_OUT / "tables/split.csv", index_col="id")["set"]
        for party in COLUMNS:
            table = pd.read_parquet(_OUT / f"tables/{party}.parquet").sort_values("id")
            table[table["id"].map(split) == "train"].to_csv(_OUT / f"tables/{party}.csv", index=False)
        command = [str(python), "-W", "ignore", str(driver), str(_OUT / "tables"), json.dumps(setting)]
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        peer.append(json.loads(answer.splitlines()[-1]))
    return {"rows": rows, "setting": setting, "own_seconds_per_tree": own, "turns": peer}


def show(found: dict[str, Any], console: Console) -> None:
    """Print the figures and their targets."""
    setting = found["setting"]
    unit = "tree" if setting["classes"] == 2 else f"round of {setting['classes']} trees"
    title = f"SecureBoost per {unit}: {setting['rows']:,} rows at {setting['key_bits']} bits, three processes"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in ("measured", "target"):
        table.add_column(name, justify="right")
    for name, seconds in sorted(found["kernels_per_tree"].items(), key=lambda item: -item[1]):
        table.add_row(f"CPU seconds, {name}", f"{seconds:.2f}", "")
    table.add_row("CPU seconds, all kernels", f"{found['kernels_cpu_per_tree']:.2f}", "")
    table.add_row("CPU seconds, all parties", f"{found['cpu_per_tree']:.2f}", "")
    table.add_row("other work, relative to the kernels", f"{found['other_work']:.1%}", "< 20%")
    for party, size in found["bytes_per_tree"].items():
        table.add_row(f"MB sent, {party}", f"{size / 1e6:.1f}", "")
    table.add_row("seconds", f"{found['seconds_per_tree']:.2f}", "")
    fate = found["fate"]
    if "skipped" in fate:
        table.add_row("against FATE 2.2", fate["skipped"], "")
    else:
        table.add_row(f"seconds at {fate['rows']:,} rows", _seconds(fate["own_seconds_per_tree"]), "")
        table.add_row("seconds, FATE 2.2, same rows", _seconds([turn["seconds_per_tree"] for turn in fate["turns"]]), "")
        table.add_row("times FATE's speed", f"{found['ratios']['secureboost_tree_vs_fate']:.1f}", ">= 10")
    console.print(table)


def _seconds(turns: list[float]) -> str:
    return ", ".join(f"{turn:.2f}" for turn in turns)


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("output", nargs="?", type=Path, default=Path(".tombolo/bench/secureboost.json"))
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--classes", type=int, default=2, metavar="K", help="number of classes; softmax if more than two")
    parser.add_argument(
        "--fate", type=Path, metavar="PYTHON", help="compare with FATE; name a Python interpreter with pyfate 2.2.0"
    )
    options = parser.parse_args()
    part = 10 if options.quick else 1
    figures = measure(ROWS // part, options.classes)
    if options.fate is None:
        figures["fate"] = {"skipped": "not measured; name an interpreter with --fate"}
    else:
        figures["fate"] = fate = compare(options.fate, ROWS // part)
        theirs = [turn["seconds_per_tree"] for turn in fate["turns"]]
        figures["ratios"] = {"secureboost_tree_vs_fate": sum(theirs) / sum(fate["own_seconds_per_tree"])}
    show(figures, Console())
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
