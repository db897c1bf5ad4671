"""How the cost of a vertical round grows: CPU seconds of its ciphertext work over rows and features, 2048 bits, one core.

``python -m benchmarks.growth [--quick] [--chart FILE.svg] [OUTPUT.json]``. The work is that of a logistic round with one host, both
parties together: the guest encrypts a residual per row. The host checks the ciphertexts, multiplies them by its 24-bit columns, and
masks and refreshes the sums. The guest decrypts the sums. The work is the same for every column, so that the product is measured
column by column. If there are more than ``LIMIT`` elements, the product is measured on as many columns as fit, scaled up, and
marked.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmarks._charts import growth_chart
from tombolo.fl_tasks.crypto.matvec import transposed_product
from tombolo.fl_tasks.crypto.paillier import PrivateKey, generate
from tombolo.fl_tasks.crypto.vector import CipherVector, decrypt, encrypt

T = TypeVar("T")
ROWS, FEATURES, LIMIT = (10_000, 100_000, 1_000_000), (10, 50, 100), 10_000_000
_BATCH = 100_000


def timed(function: Callable[..., T], *arguments: Any) -> tuple[T, float]:
    """The result of ``function``, and its CPU seconds."""
    began = time.process_time()
    return function(*arguments), time.process_time() - began


def encrypted(key: PrivateKey, residuals: npt.NDArray[np.int64]) -> CipherVector:
    """Encrypt the residuals in batches, to limit memory."""
    batches = [encrypt(key.public, residuals[at : at + _BATCH]) for at in range(0, len(residuals), _BATCH)]
    return CipherVector.concatenate(batches)


def cells_of(key: PrivateKey, rows: int, limit: int) -> list[dict[str, Any]]:
    """The figures for one number of rows: a cell for each number of features."""
    random = np.random.default_rng(rows)
    residuals = np.rint(random.uniform(-1, 1, rows) * 2.0**32).astype(np.int64)
    vector, encryption = timed(encrypted, key, residuals)
    vector, checking = timed(CipherVector.from_arrow, key.public, vector.to_arrow())
    most = max(1, limit // rows)
    done, product, cells = 0, 0.0, []
    sums = CipherVector(key.public, b"")
    for features in FEATURES:
        if wanted := min(features, most) - done:
            x = np.rint(np.clip(random.normal(size=(rows, wanted)), -7.9, 7.9) * 2.0**20).astype(np.int64)
            products, seconds = timed(transposed_product, x, vector)
            sums, product, done = CipherVector.concatenate([sums, products]), product + seconds, done + wanted
        fresh, refreshing = timed(sums.add_plain([1] * done).rerandomise_full)
        opened, opening = timed(decrypt, key, fresh)
        if opened[-1] != int(x[:, -1].astype(object) @ residuals.astype(object)) + 1:
            raise SystemExit("the product is wrong")
        parts = {"encrypt": encryption, "check": checking}
        parts |= {"multiply": product * features / done, "open": (refreshing + opening) * features / done}
        cells.append({"rows": rows, "features": features, "measured": done / features, "seconds": sum(parts.values()), **parts})
    return cells


def slope(x: list[float], y: list[float]) -> float:
    """The slope of the straight line through the logarithms of ``x`` and ``y``, by least squares."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def measure(quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure all figures."""
    key = generate(2048)
    encrypt(key.public, [0] * _BATCH)  # makes the tables of powers, which is done once per key
    cells = []
    for rows, limit in ((rows // 10, LIMIT // 10) if quick else (rows, LIMIT) for rows in ROWS):
        cells += cells_of(key, rows, limit)
        say(f"{rows:,} rows: {cells[-1]['seconds']:,.1f} CPU seconds at {FEATURES[-1]} features")
    by_features = {f: [cell for cell in cells if cell["features"] == f] for f in FEATURES}
    by_rows = {cell["rows"]: [other for other in cells if other["rows"] == cell["rows"]] for cell in cells}
    return {
        "setting": {
            "key_bits": 2048,
            "feature_bits": 24,
            "most_elements_measured": limit,
            "quick": quick,
            "python": platform.python_version(),
            "machine": platform.machine(),
        },
        "cells": cells,
        "slope_over_rows": {f: slope([c["rows"] for c in line], [c["seconds"] for c in line]) for f, line in by_features.items()},
        "slope_over_features": {
            rows: slope([c["features"] for c in line], [c["seconds"] for c in line]) for rows, line in by_rows.items()
        },
    }


def show(results: dict[str, Any], console: Console) -> None:
    """Print the figures."""
    caption = "* measured on a part of the columns and scaled"
    table = Table(title="A round's ciphertext work, CPU seconds", title_justify="left", caption=caption, caption_justify="left")
    table.add_column("rows", justify="right")
    for features in FEATURES:
        table.add_column(f"{features} features", justify="right")
    for name in ("us per row and feature", "slope over features"):
        table.add_column(name, justify="right")
    for rows, over in results["slope_over_features"].items():
        line = [cell for cell in results["cells"] if cell["rows"] == rows]
        seconds = [f"{cell['seconds']:,.1f}{'' if cell['measured'] == 1 else '*'}" for cell in line]
        each = line[-1]["multiply"] / rows / line[-1]["features"] * 1e6
        table.add_row(f"{rows:,}", *seconds, f"{each:.1f}", f"{over:.2f}")
    table.add_row("slope over rows", *(f"{over:.2f}" for over in results["slope_over_rows"].values()), "", "")
    console.print(table)


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("output", nargs="?", type=Path, default=Path(".tombolo/bench/growth.json"))
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows: about a minute")
    parser.add_argument("--chart", type=Path, metavar="FILE.svg", help="draw the figures into this file")
    options = parser.parse_args()
    console = Console()
    results = measure(options.quick, console.print)
    show(results, console)
    if options.chart is not None:
        title = "CPU seconds of a round's ciphertext work (2048 bits)"
        options.chart.write_text(growth_chart(results["cells"], results["slope_over_rows"], title), encoding="utf-8")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
