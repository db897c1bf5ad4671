"""Runs the benchmarks one after the other, each in its own process, and collects their figures.

``python -m benchmarks [--quick] [--kernels PYTHON] [--fate PYTHON] [--flower PYTHON] [--data FOLDER] [--only NAME ...]
[--results FOLDER] [--picture SVG]``. Each benchmark prints a table and writes its figures as JSON. All figures, the ratios and a
description of the machine go to ``benchmarks/results/full.json`` (or ``quick.json``). The ratios also go into a chart. The exit
status is 1 if a benchmark failed.

The benchmarks are listed in :data:`PARTS`. Each is a module with a ``main`` that takes ``[--quick] OUTPUT.json``. Its JSON may have
``ratios`` (by name, how many times as fast as the other software Tombolo is) and ``skipped`` (by name, why there is no ratio).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks._charts import ratio_chart

_HERE = Path(__file__).parent
LIBRARIES = ("cryptography", "gmpy2", "numpy", "phe", "pyarrow")


@dataclass(frozen=True)
class Part:
    """A benchmark: its module, the option that names the peer's Python interpreter, and the ratios that it should measure.

    ``targets`` has the value that each ratio should reach. A ``quick`` benchmark also runs in ``make bench-quick``.
    """

    module: str
    quick: bool = False
    peer: str | None = None
    data: bool = False
    targets: Mapping[str, float] = field(default_factory=dict)


PARTS = (
    Part(
        "paillier",
        quick=True,
        peer="kernels",
        targets={
            "paillier_encrypt_vs_phe": 100,
            "paillier_encrypt_vs_fate_kernels": 100,
            "xtd_20bit_vs_phe": 25,
            "xtd_8bit_vs_phe": 45,
            "xtd_20bit_vs_phe_integers": 15,
            "xtd_8bit_vs_phe_integers": 15,
            "xtd_vs_fate_kernels": 8,
            "xtd_two_processes_vs_one": 1.7,
        },
    ),
    Part(
        "alignment",
        quick=True,
        peer="openmined",
        targets={"psi_100k_vs_openmined": 20, "psi_100k_vs_ring": 8, "psi_1m_vs_openmined": 20, "psi_1m_vs_ring": 8},
    ),
    Part("dealer", quick=True, targets={"dealer_round_vs_paillier_round": 500, "dealer_round_vs_plaintext": 0.2}),
    Part("logistic", peer="fate", data=True, targets={"logistic_round_vs_fate": 8}),
    Part("secureboost", peer="fate", targets={"secureboost_tree_vs_fate": 10}),
    Part("ledger"),
    Part("lending", targets={"lending_hop_vs_target": 1}),
    Part("memory"),
    Part("orchestration"),
    Part("neural"),
    Part("secagg", peer="flower", targets={"secagg_client_vs_flower": 1}),
    Part("horizontal_trees"),
    Part("transfer"),
)


def machine() -> dict[str, Any]:
    """The machine on which the figures were measured."""
    import psutil

    names = [line.split(":", 1)[1].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "processors": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.is_file() else []


def run(part: Part, quick: bool, peers: Mapping[str, Path | None], data: Path | None, output: Path) -> dict[str, Any] | str:
    """Run a benchmark. Returns its figures, or the reason why there are none."""
    if not (_HERE / f"{part.module}.py").is_file():
        return f"there is no benchmarks/{part.module}.py"
    words = [sys.executable, "-m", f"benchmarks.{part.module}", *(["--quick"] if quick else [])]
    if part.peer is not None and (python := peers.get(part.peer)) is not None:
        words += [f"--{part.peer}", str(python)]
    if part.data and data is not None:
        words += ["--data", str(data)]
    output.unlink(missing_ok=True)
    if subprocess.run([*words, str(output)], check=False).returncode != 0:
        return "failed"
    if not output.is_file():
        return "wrote no figures"
    figures: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return {"at": datetime.now(UTC).isoformat(timespec="seconds"), "load": os.getloadavg()[0], **figures}


def earlier(file: Path, again: Sequence[Part]) -> dict[str, Any]:
    """The figures in ``file``, except those of the benchmarks that are run again."""
    if not file.is_file():
        return {}
    held: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["benchmarks"]
    return {name: figures for name, figures in held.items() if name not in {part.module for part in again}}


def gather(parts: Sequence[Part], found: Mapping[str, dict[str, Any] | str]) -> dict[str, Any]:
    """One document with all figures, ``ratios`` and ``skipped``. Each expected ratio is in one of the last two."""
    ratios: dict[str, float] = {}
    skipped: dict[str, str] = {}
    for part in parts:
        result = found[part.module]
        if isinstance(result, str):
            skipped |= dict.fromkeys(part.targets or [part.module], result)
            continue
        ratios |= result.get("ratios", {})
        skipped |= result.get("skipped", {})
        for name in part.targets:
            if name not in ratios and name not in skipped:
                skipped[name] = (
                    "not measured in this run: there was no peer, or the size was another one" if part.peer else "not measured"
                )
    targets = {name: target for part in parts for name, target in part.targets.items() if target}
    figures = {name: document for name, document in found.items() if isinstance(document, dict)}
    return {"ratios": ratios, "targets": targets, "skipped": skipped, "benchmarks": figures}


def show(document: Mapping[str, Any]) -> None:
    """Print the ratios, and what was skipped."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", title="Tombolo against other software", title_justify="left")
    for name in ("times as fast", "target"):
        table.add_column(name, justify="right")
    for name, ratio in document["ratios"].items():
        target = document["targets"].get(name)
        table.add_row(name, f"{ratio:,.1f}", f">= {target:g}" if target else "")
    console = Console()
    console.print(table)
    for name, reason in document["skipped"].items():
        console.print(f"{name}: skipped, {reason}")


def main(arguments: list[str]) -> int:
    """Run the benchmarks. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only the kernels, with small sizes: less than five minutes")
    parser.add_argument(
        "--kernels", type=Path, metavar="PYTHON", help="a Python interpreter with the packages of benchmarks/requirements.lock"
    )
    parser.add_argument("--fate", type=Path, metavar="PYTHON", help="a Python interpreter with pyfate 2.2.0")
    parser.add_argument("--flower", type=Path, metavar="PYTHON", help="a Python interpreter with flwr 1.42.0")
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="folder with tables that benchmarks use instead of generated ones"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[part.module for part in PARTS],
        help="run only these; the other figures in the results file are kept",
    )
    parser.add_argument("--results", type=Path, default=_HERE / "results", metavar="FOLDER")
    parser.add_argument("--picture", type=Path, metavar="SVG", help="file for the chart; default: next to the figures")
    options = parser.parse_args(arguments)
    parts = [part for part in PARTS if (part.module in options.only if options.only else part.quick or not options.quick)]
    peers = {"kernels": options.kernels, "openmined": options.kernels, "fate": options.fate, "flower": options.flower}
    peers = {name: python if python is not None and python.is_file() else None for name, python in peers.items()}
    name = "quick" if options.quick else "full"
    about, figures = machine(), dict[str, Any](earlier(options.results / f"{name}.json", parts) if options.only else {})
    scratch = Path(".tombolo/bench")
    scratch.mkdir(parents=True, exist_ok=True)
    for part in parts:
        print(f"\n== {part.module}", flush=True)
        figures[part.module] = run(part, options.quick, peers, options.data, scratch / f"{part.module}.json")
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": options.quick,
        "machine": about,
        **gather([part for part in PARTS if part.module in figures], figures),
    }
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    (options.picture or options.results / f"{name}.svg").write_text(
        ratio_chart(document["ratios"], document["targets"]), encoding="utf-8"
    )
    show(document)
    return int("failed" in figures.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
