"""Runs every benchmark in this folder but acceptance, one after the other: ``python -m benchmarks [--quick]``.

Each has a process of its own, prints its table and keeps its figures as ``.tombolo/bench/<name>.json``. The exit status is 1 if one
of them failed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).parent
_FIGURES = Path(".tombolo/bench")


def main(arguments: list[str]) -> int:
    """Run all; returns the exit status."""
    failed = []
    _FIGURES.mkdir(parents=True, exist_ok=True)
    for name in sorted(file.stem for file in _HERE.glob("[!_]*.py") if not file.stem.startswith("acceptance")):
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments, str(_FIGURES / f"{name}.json")]
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(name)
    print(f"\nFigures: {_FIGURES}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
