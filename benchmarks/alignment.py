"""Alignment of two parties with large lists: CPU seconds of both together, seconds, bytes, and the peak memory of each.

``python -m benchmarks.alignment [--quick] [--huge] [--openmined PYTHON [--full]] [OUTPUT.json]``: half of the ids are common.
Oblivious transfer extension (KKRT) runs with 100,000 and a million ids per side, and with ten million for ``--huge``.
Diffie-Hellman (``ring``) runs on a part and is scaled up, because its work is the same for every id. The figures cover the
protocol, with sealing, signing and storing of its messages, but without reading tables.

``--openmined`` names the Python interpreter of another environment, which has ``openmined-psi==2.0.6``. Its exact intersection of
100,000 ids is then timed and scaled up in the same way; with ``--full``, that of a million ids.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import multiprocessing
import os
import resource
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

PARTIES = ("guest", "host")
SMALL, LARGE, HUGE, PART = 100_000, 1_000_000, 10_000_000, 10_000
TARGETS = {"openmined": 20, "ring": 8}
PEAK_GIB = 3.0
_OUT = Path(".tombolo/bench/alignment")


def ids_of(party: str, size: int) -> list[str]:
    """A party's ids, in an order of its own. The other party has half of them too."""
    import numpy as np

    first = 0 if party == "guest" else size // 2
    order = np.random.default_rng(PARTIES.index(party)).permutation(size) + first
    return [f"customer-{number:09d}" for number in order]


def lay_out(protocol: str, name: str) -> dict[str, Path]:
    """Make keys, settings and a signed agreement for both parties. The table in the settings is never read."""
    import yaml

    from tombolo.cli.simulation.layout import lay_out

    terms = {
        "schema": "tombolo.terms/1",
        "name": "alignment",
        "parties": {party: {"role": party} for party in PARTIES},
        "task": {
            "protocol": "logistic-guest",
            "label": {"column": "y"},
            "waivers": ["disclose-direction-to-guest"],
        },
        "alignment": {"id": [{"column": "id"}], "protocol": protocol},
        "deadlines": {"message": 7200},
    }
    folder = _OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "agreement.yaml").write_text(yaml.safe_dump(terms, sort_keys=False), encoding="utf-8")
    (folder / "ids.csv").write_text("id\n", encoding="utf-8")
    laid = lay_out(folder, dict.fromkeys(PARTIES, folder / "ids.csv"), None, folder / "run")
    return {party: laid.settings[party] for party in PARTIES}


def work(party: str, settings: Path, size: int) -> dict[str, Any]:
    """Run one party, in its own process. Returns its figures."""
    from tombolo.fl_tasks.alignment import pair
    from tombolo.fl_tasks.alignment.messages import MESSAGES
    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.waiting import Wait
    from tombolo.fl_tasks.workflow.join import join

    context, wait = PartyContext.open("alignment", settings), Wait(math.inf)
    join(context, "bench", wait, progress=lambda _: None)
    ids = ids_of(party, size)
    with context.session("bench", MESSAGES, "align", wait, progress=lambda _: None) as session:
        began, cpu = time.monotonic(), time.process_time()
        rows = pair.common_rows(session, ids, 100)
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    digest = hashlib.sha256("\n".join(ids[row] for row in rows).encode()).hexdigest()
    sent = sum(entry.size for entry in context.books("bench").entries("sent") if "/align." in entry.address)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"common": len(rows), "found": digest, "seconds": seconds, "cpu": cpu, "bytes": sent, "peak_gib": peak}


def measure(protocol: str, size: int) -> dict[str, Any]:
    """Run both parties at the same time. Exits if the result is wrong."""
    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.workflow.join import invite

    settings = lay_out(protocol, f"{protocol}-{size}")
    invite(PartyContext.open("alignment", settings["guest"]), "bench", "train", {})
    with ProcessPoolExecutor(len(PARTIES), mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(work, party, settings[party], size) for party in PARTIES]
        results = [future.result() for future in futures]
    if {result["common"] for result in results} != {size - size // 2} or len({result["found"] for result in results}) != 1:
        raise SystemExit(f"{protocol} at {size}: the parties found {[result['common'] for result in results]} common ids")
    return {
        "cpu": sum(result["cpu"] for result in results),
        "seconds": max(result["seconds"] for result in results),
        "bytes": sum(result["bytes"] for result in results),
        "peak_gib": max(result["peak_gib"] for result in results),
    }


def openmined(python: Path, size: int) -> dict[str, Any]:
    """The intersection of the same lists by openmined-psi, in one process of its interpreter."""
    driver = Path(__file__).with_name("_openmined_psi.py")
    words = [str(python), str(driver), str(size), str(size - size // 2)]
    answer = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    figures: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return figures


def scaled(found: dict[str, Any], size: int, to: int) -> dict[str, Any]:
    """CPU seconds and bytes of a part, scaled up to the whole."""
    return {**{name: found[name] * to / size for name in ("cpu", "bytes")}, "measured_at": size}


def ratio(size: int, name: str) -> str:
    """The name of the ratio for a comparison with ``size`` ids."""
    return f"psi_{'1m' if size == LARGE else '100k'}_vs_{name}"


def show(found: dict[str, Any], console: Console) -> None:
    """Print the figures and their targets."""
    table = Table(title="Alignment of two parties, half of the ids common", title_justify="left")
    for name in ("protocol", "ids per side", "CPU s, both", "seconds", "MB, both", "peak GiB"):
        table.add_column(name, justify="left" if name == "protocol" else "right")
    for size, figures in found["kkrt"].items():
        words = (
            f"{figures['cpu']:.1f}",
            f"{figures['seconds']:.1f}",
            f"{figures['bytes'] / 1e6:.1f}",
            f"{figures['peak_gib']:.2f}",
        )
        table.add_row("kkrt", f"{int(size):,}", *words)
    for name in TARGETS:
        if name in found:
            peer, scale = found[name], ""
            if peer["measured_at"] != found["size"]:
                scale = f", from {peer['measured_at']:,}"
            table.add_row(name, f"{found['size']:,}{scale}", f"{peer['cpu']:.1f}", "", f"{peer['bytes'] / 1e6:.1f}", "")
    console.print(table)
    for name, target in TARGETS.items():
        if (times := found["ratios"].get(ratio(found["size"], name))) is not None:
            console.print(f"{times:.1f} times as fast as {name} (goal {target})")
    console.print(f"peak {max(peer['peak_gib'] for peer in found['kkrt'].values()):.2f} GiB per party (goal {PEAK_GIB:g})")


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("output", nargs="?", type=Path, default=Path(".tombolo/bench/alignment.json"))
    parser.add_argument("--quick", action="store_true", help="100,000 ids at most")
    parser.add_argument("--huge", action="store_true", help="also ten million ids per side")
    parser.add_argument(
        "--openmined", type=Path, metavar="PYTHON", help="compare with openmined-psi; name a Python interpreter that has it"
    )
    parser.add_argument("--full", action="store_true", help="let openmined-psi intersect a million ids instead of a part")
    options = parser.parse_args()
    os.environ["TOMBOLO_WORKERS"] = "1"
    size = SMALL if options.quick else LARGE
    sizes = [SMALL] if options.quick else [SMALL, LARGE, *([HUGE] if options.huge else [])]
    figures: dict[str, Any] = {"size": size, "kkrt": {str(ids): measure("kkrt", ids) for ids in sizes}}
    figures["ring"] = scaled(measure("ring", PART), PART, size)
    if options.openmined is not None:
        part = size if options.full else SMALL // (10 if options.quick else 1)
        figures["openmined"] = scaled(openmined(options.openmined, part), part, size)
    cpu = figures["kkrt"][str(size)]["cpu"]
    figures["ratios"] = {ratio(size, name): figures[name]["cpu"] / cpu for name in TARGETS if name in figures}
    show(figures, Console())
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
