"""A whole round of vertical logistic regression with an arbiter: seconds and bytes, compared with an epoch of FATE.

``python -m benchmarks.logistic [--quick] [--data FOLDER] [--rows N] [--fate PYTHON] [OUTPUT.json]`` trains by the terms of
federations/credit: a guest with 5 columns, hosts with 6 and 12, an arbiter with a key of 2048 bits. FOLDER has the UCI table of
credit card clients, split over the parties (``default_credit__<guest|host1|host2>.parquet`` and ``default_credit__split.csv.gz``);
without it, data of the same shape is generated. Each party uses all processors, as in FATE.

``--fate`` names the Python interpreter of another environment, which has ``pyfate==2.2.0``. One epoch of FATE's hetero logistic
regression, in one batch, and our rounds are then measured in turn on the same encoded rows. Key generation does not count.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import traceback
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks._turns import compare

PARTIES = {"bank": "guest", "shop": "host", "telco": "host", "notary": "arbiter"}
FILES = {"bank": "guest", "shop": "host1", "telco": "host2"}
AGREEMENT = Path("federations/credit")
ROWS, ROUNDS = 18_185, 6
RATIO, TARGET = "logistic_round_vs_fate", 8
_OUT = Path(".tombolo/bench/logistic")


def generated(rows: int) -> dict[str, Any]:
    """Generated tables with the shape of the real ones, by party. They are the same in every run."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(7)
    ids = [f"P{index:06d}" for index in range(rows)]
    pay = {f"PAY_{month}": rng.choice(11, rows, p=[0.1, 0.2, 0.5, *[0.2 / 8] * 8]) - 2 for month in (0, 2, 3, 4, 5, 6)}
    amounts = {f"{kind}_AMT{month}": rng.lognormal(9, 1, rows).round() for kind in ("BILL", "PAY") for month in range(1, 7)}
    person = {
        "LIMIT_BAL": rng.integers(1, 80, rows) * 10_000,
        "SEX": rng.integers(1, 3, rows),
        "EDUCATION": rng.integers(1, 5, rows),
        "MARRIAGE": rng.integers(1, 4, rows),
        "AGE": rng.integers(21, 75, rows),
        "y": (pay["PAY_0"] + rng.logistic(size=rows) > 2).astype(int),
    }
    return {party: pd.DataFrame({"id": ids, **columns}) for party, columns in zip(FILES, (person, pay, amounts), strict=True)}


def write_tables(folder: Path, data: Path | None, rows: int) -> dict[str, Path]:
    """Write tables with ``rows`` common training rows and a few held-out rows."""
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    if data is None:
        tables = generated(rows + 400)
        common = tables["bank"]["id"]
        sets = pd.Series(["train"] * rows + ["test"] * 400, index=common)
    else:
        tables = {party: pd.read_parquet(data / f"default_credit__{name}.parquet") for party, name in FILES.items()}
        sets = pd.read_csv(data / "default_credit__split.csv.gz", dtype=str).set_index("id")["train"]
        sets = sets.map({"True": "train", "False": "test"})
        common = set.intersection(*(set(table["id"].astype(str)) for table in tables.values()))
        sets = sets[[row in common for row in sets.index]]
        sets = pd.concat([sets[sets == "train"].iloc[:rows], sets[sets == "test"].iloc[:400]])
    files = {party: folder / f"{party}.parquet" for party in FILES}
    for party, table in tables.items():
        table[table["id"].astype(str).isin(sets.index)].to_parquet(files[party], index=False)
    split = folder / "split.csv"
    sets.rename("set").rename_axis("id").to_csv(split)
    return {**files, "split": split}


def agreement(folder: Path) -> Path:
    """Write the terms of federations/credit without the leverage limit: with fewer rows, each row has more leverage."""
    import yaml

    terms = yaml.safe_load((AGREEMENT / "agreement.yaml").read_text(encoding="utf-8"))
    terms["limits"]["maximum_leverage"] = 1.0
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "agreement.yaml").write_text(yaml.safe_dump(terms, sort_keys=False), encoding="utf-8")
    return folder


def work(settings: Path, run: str) -> dict[str, Any]:
    """Run :func:`party`. A failure ends this process, and so the pool. Otherwise the other parties would wait."""
    try:
        return party(settings, run)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def party(settings: Path, run: str) -> dict[str, Any]:
    """Run one party, in its own process. Returns when its rounds ended, and the bytes that it sent in the second round."""
    import math
    import time

    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.waiting import Wait
    from tombolo.fl_tasks.workflow.align import align
    from tombolo.fl_tasks.workflow.join import join
    from tombolo.fl_tasks.workflow.train import train
    from tombolo.fl_tasks.workflow.validate import validate

    context, wait = PartyContext.open("credit", settings), Wait(math.inf)
    for stage in (join, validate, align):
        stage(context, run, wait, progress=lambda _: None)
    train(context, run, wait, progress=lambda _: None, leg_end=1)  # key generation and tables of powers do not count
    moments = [time.monotonic()]
    train(context, run, wait, progress=lambda _: moments.append(time.monotonic()), leg_end=ROUNDS)
    if context.me in FILES:
        write_encoded(context, run)
    sent = [entry for entry in context.books(run).entries("sent") if "/000002/train." in entry.address]
    figures = {"moments": moments, "bytes": sum(entry.size for entry in sent)}
    return figures | {
        "stored": max((entry.size / entry.rows for entry in sent if entry.rows > 100 and entry.kinds == ("paillier",)), default=0)
    }


def write_encoded(context: Any, run: str) -> None:
    """Write this party's encoded training rows for FATE."""
    import pandas as pd

    from tombolo.fl_tasks.tables.encoding import Encoder
    from tombolo.fl_tasks.workflow.aligned import features, label, load_aligned

    aligned = load_aligned(context, run)
    table, rows = features(context, aligned), ~aligned.test
    encoder = Encoder.fit(table, context.terms.table(context.me), rows, context.terms.limits, context.me)
    frame = pd.DataFrame(encoder.transform(table.filter(rows)), columns=[f"{context.me}_{at}" for at in range(len(encoder.names))])
    frame.insert(0, "id", [f"R{index:06d}" for index in range(len(frame))])
    if PARTIES[context.me] == "guest":
        frame["y"] = label(context, aligned)[rows].astype(int)
    frame.to_csv(_OUT / "tables" / f"{context.me}.csv", index=False)


def rounds(tables: dict[str, Path]) -> dict[str, Any]:
    """Run a training of ours. Returns figures per round."""
    from tombolo.cli.simulation.layout import lay_out
    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.workflow.join import invite

    laid = lay_out(agreement(_OUT / "agreement"), {party: tables[party] for party in FILES}, tables["split"], _OUT / "run")
    invite(PartyContext.open("credit", laid.settings["bank"]), "bench", "train", {})
    with ProcessPoolExecutor(len(PARTIES), mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = {party: pool.submit(work, file, "bench") for party, file in laid.settings.items()}
        results = {party: future.result() for party, future in futures.items()}
    moments = results["bank"]["moments"]
    return {
        "seconds": median(later - before for before, later in pairwise(moments)),
        "seconds_with_the_leg's_start": (moments[-1] - moments[0]) / (ROUNDS - 1),
        "bytes": {party: result["bytes"] for party, result in results.items()},
        "stored_bytes_per_ciphertext": max(result["stored"] for result in results.values()),
    }


def epoch(python: Path) -> dict[str, Any]:
    """Run an epoch of FATE on the rows that our parties wrote."""
    driver = Path(__file__).with_name("_fate_logistic.py")
    words = [
        str(python),
        "-W",
        "ignore",
        str(driver),
        str(_OUT / "tables"),
        json.dumps({"parties": PARTIES, "key_bits": 2048, "l2": 0.001}),
    ]
    answer = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    figures: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return figures


def measure(rows: int, data: Path | None, fate: Path | None, turns: int) -> dict[str, Any]:
    """Measure all figures."""
    tables = write_tables(_OUT / "tables", data, rows)
    own: list[dict[str, Any]] = []
    peers: list[dict[str, Any]] = []

    def ours() -> float:
        own.append(rounds(tables))
        return float(own[-1]["seconds"])

    def theirs() -> float:
        assert fate is not None
        peers.append(epoch(fate))
        return float(peers[-1]["seconds"])

    figures: dict[str, Any] = {
        "setting": {
            "rows": rows,
            "data": "generated" if data is None else "default-credit",
            "key_bits": 2048,
            "processors": os.cpu_count(),
        }
    }
    if fate is None:
        ours()
        figures |= {"ratios": {}, "skipped": {RATIO: "no interpreter with pyfate 2.2.0 was named"}}
    else:
        figures["figures"] = {RATIO: compare(ours, theirs, turns)}
        figures |= {"ratios": {RATIO: figures["figures"][RATIO]["ratio"]["median"]}, "skipped": {}, "fate": peers}
    return figures | {"rounds": own}


def show(found: dict[str, Any], console: Console) -> None:
    """Print the figures and the target."""
    setting, last = found["setting"], found["rounds"][-1]
    title = (
        f"Logistic regression, a round: {setting['rows']:,} rows ({setting['data']}) at {setting['key_bits']} bits, four processes"
    )
    table = Table(title=title, title_justify="left")
    for name in ("", "measured", "target"):
        table.add_column(name, justify="right" if name else "left")
    for key in ("seconds", "seconds_with_the_leg's_start"):
        table.add_row(key.replace("_", " "), ", ".join(f"{turn[key]:.1f}" for turn in found["rounds"]), "")
    for party, size in last["bytes"].items():
        table.add_row(f"MB sent, {party}", f"{size / 1e6:.1f}", "")
    table.add_row("bytes stored per ciphertext of 512", f"{last['stored_bytes_per_ciphertext']:.0f}", f"<= {1.1 * 512:.0f}")
    for reason in found["skipped"].values():
        table.add_row("against FATE 2.2", reason, "")
    for ratio in found["ratios"].values():
        table.add_row("seconds, an epoch of FATE 2.2", ", ".join(f"{turn['seconds']:.1f}" for turn in found["fate"]), "")
        table.add_row("times FATE's speed", f"{ratio:.1f}", f">= {TARGET}")
    console.print(table)


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", nargs="?", type=Path, default=Path(".tombolo/bench/logistic.json"))
    parser.add_argument("--quick", action="store_true", help="a ninth of the rows, and one turn")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="folder with the real tables")
    parser.add_argument(
        "--fate", type=Path, metavar="PYTHON", help="compare with FATE; name a Python interpreter with pyfate 2.2.0"
    )
    options = parser.parse_args()
    figures = measure(options.rows // 9 if options.quick else options.rows, options.data, options.fate, 1 if options.quick else 2)
    show(figures, Console())
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
