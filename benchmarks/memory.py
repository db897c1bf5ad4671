"""Peak memory of a party that takes a large table through validation, alignment and encoding.

``python -m benchmarks.memory [--rows 1000000] [--columns 20] [OUT]``: a guest and a host, each in
its own process, with tables of that size. Nine tenths of the rows are common. The figure is the peak resident memory per party. The
goal is 4 GiB at a million rows.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PARTIES = ("guest", "host")
GOAL_GIB = 4.0


def write_tables(folder: Path, rows: int, columns: int) -> None:
    """Write tables of random numbers in chunks. The parties share all ids except one tenth."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(1)
    for index, party in enumerate(PARTIES):
        (folder / party).mkdir()
        order = random.permutation(rows) + index * rows // 10
        writer = None
        for start in range(0, rows, 100_000):
            ids = [f"customer-{number:09d}" for number in order[start : start + 100_000]]
            data = {"id": ids, **{f"x{at}": random.uniform(size=len(ids)) for at in range(columns)}}
            if party == "guest":
                data["label"] = random.integers(0, 2, len(ids))
            chunk = pa.table(data)
            writer = writer or pq.ParquetWriter(folder / party / "table.parquet", chunk.schema)
            writer.write_table(chunk)
        if writer:
            writer.close()


def lay_out(folder: Path, columns: int) -> None:
    """Make keys, settings, expectation suites and a signed agreement for both parties."""
    import yaml

    from tombolo.agreements.agreement import Agreement
    from tombolo.storage.identity import PartyKeys

    agreement = folder / "federations" / "memory"
    agreement.mkdir(parents=True)
    terms = {
        "schema": "tombolo.terms/1",
        "name": "memory",
        "parties": {party: {"role": party} for party in PARTIES},
        "task": {
            "protocol": "logistic-guest",
            "label": {"column": "label"},
            "waivers": ["disclose-direction-to-guest"],
        },
        "alignment": {"id": [{"column": "id"}]},
        "deadlines": {"message": 7200},
    }
    (agreement / "agreement.yaml").write_text(yaml.safe_dump(terms, sort_keys=False))
    (agreement / "suites").mkdir()
    pins = {}
    for party in PARTIES:
        suite = {"name": party, "expectations": expectations(columns)}
        (agreement / "suites" / f"{party}.json").write_text(json.dumps(suite))
        keys = PartyKeys.new(party)
        keys.save(folder / party / "keys.json")
        pins[party] = (keys, f"file://{folder / party / 'store'}")
        settings = {
            "party": party,
            "keys": "file:keys.json",
            "store": f"file://{folder / party / 'store'}",
            "federations": "../federations",
            "workers": 1,
            "agreements": {"memory": {"table": {"source": "parquet", "path": "table.parquet"}}},
        }
        (folder / party / "party.yaml").write_text(yaml.safe_dump(settings))
    Agreement.pin_all(agreement, pins)


def expectations(columns: int) -> list[dict[str, object]]:
    """Two expectations per column, and unique ids."""
    listed: list[dict[str, object]] = [{"type": "expect_column_values_to_be_unique", "kwargs": {"column": "id"}}]
    for name in (f"x{at}" for at in range(columns)):
        listed.append({"type": "expect_column_values_to_not_be_null", "kwargs": {"column": name}})
        between = {"column": name, "min_value": 0, "max_value": 1}
        listed.append({"type": "expect_column_values_to_be_between", "kwargs": between})
    return listed


def work(settings: str) -> None:
    """Run one party: join, validate, align, encode. Prints the seconds and the peak memory of each stage."""
    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.waiting import Wait
    from tombolo.fl_tasks.tables.encoding import Encoder
    from tombolo.fl_tasks.workflow.align import align
    from tombolo.fl_tasks.workflow.aligned import features, load_aligned
    from tombolo.fl_tasks.workflow.join import join
    from tombolo.fl_tasks.workflow.validate import validate

    context, forever = PartyContext.open("memory", Path(settings)), Wait(math.inf)

    def encode(context: PartyContext, run: str, wait: Wait) -> None:
        aligned = load_aligned(context, run)
        table = features(context, aligned)
        encoder = Encoder.fit(table, context.terms.table(context.me), ~aligned.test, context.terms.limits, context.me)
        encoder.transform(table)

    facts = {}
    for name, stage in {"join": join, "validate": validate, "align": align, "encode": encode}.items():
        began = time.monotonic()
        stage(context, "memory", forever)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        facts[name] = {"seconds": round(time.monotonic() - began, 1), "peak_gib": round(peak, 2)}
    print(json.dumps(facts))


def measure(rows: int, columns: int) -> dict[str, object]:
    """Run both parties. Returns the figures of each."""
    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.workflow.join import invite

    with tempfile.TemporaryDirectory(prefix="tombolo-memory-") as name:
        folder = Path(name)
        write_tables(folder, rows, columns)
        lay_out(folder, columns)
        invite(PartyContext.open("memory", folder / "guest" / "party.yaml"), "memory")
        command = [sys.executable, "-m", "benchmarks.memory", "--party"]
        running = {
            party: subprocess.Popen([*command, str(folder / party / "party.yaml")], stdout=subprocess.PIPE, text=True)
            for party in PARTIES
        }
        printed = {party: process.communicate()[0] for party, process in running.items()}
    failed = [party for party, process in running.items() if process.returncode]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
    parties = {party: json.loads(text) for party, text in printed.items()}
    worst = max(stage["peak_gib"] for stages in parties.values() for stage in stages.values())
    return {"rows": rows, "columns": columns, "peak_gib": worst, "goal_gib": GOAL_GIB, "parties": parties}


def main() -> None:
    """Measure, print, and write the figures."""
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("out", type=Path, nargs="?", default=Path(".tombolo/bench/memory.json"))
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--party", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.party:
        work(options.party)
        return
    result = measure(options.rows // 10 if options.quick else options.rows, options.columns)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1))
    table = Table(f"{result['rows']:,} rows x {result['columns']}", "stage", "seconds", "peak GiB so far")
    for party, stages in result["parties"].items():  # type: ignore[attr-defined]
        for stage, facts in stages.items():
            table.add_row(party, stage, f"{facts['seconds']:.1f}", f"{facts['peak_gib']:.2f}")
    Console().print(table)
    print(f"peak {result['peak_gib']} GiB per party, goal {GOAL_GIB} GiB")


if __name__ == "__main__":
    main()
