"""Paillier kernels against python-paillier as its users write it, and against the multiply-modulo limit, in one run.

Run ``python -m benchmarks.paillier [--quick] [OUTPUT.json]``. Everything is on one core and under one 2048-bit key.
python-paillier's slow paths are timed on a sample of the rows and scaled per element; the table says so. Times on a
shared machine drift, so every ratio's two sides are timed close together, and the best of several repetitions counts.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gmpy2
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fl_tasks.crypto.matvec import transposed_product
from fl_tasks.crypto.paillier import PrivateKey, generate
from fl_tasks.crypto.vector import CipherVector, decrypt, encrypt

FEATURE_BITS, RESIDUAL_BITS = 24, 32


def best_us(function: Callable[[], Any], per: int, repeat: int) -> float:
    """Microseconds per element, best of ``repeat`` runs."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times) / per * 1e6


def mulmod_limit(vector: CipherVector, repeat: int) -> float:
    """One bare multiplication modulo n^2 of decoded numbers: what no bucket method can go below per element."""
    values, modulus = vector.values(), vector.public.nsquare

    def run() -> None:
        product = values[0]
        for value in values:
            product = product * value % modulus

    return best_us(run, len(values), repeat)


def encryption(key: PrivateKey, rows: int, sample: int, repeat: int) -> dict[str, float]:
    """Microseconds per encryption of a residual."""
    theirs = key.public.to_phe()
    values = np.random.default_rng(1).uniform(-1, 1, rows)
    integers = np.rint(values * 2.0**RESIDUAL_BITS).astype(np.int64)
    return {
        "phe_us": best_us(lambda: [theirs.encrypt(float(v)) for v in values[:sample]], sample, 1),
        "ours_us": best_us(lambda: encrypt(key.public, integers), rows, repeat),
    }


def product(key: PrivateKey, rows: int, columns: int, sample: int, repeat: int) -> dict[str, float]:
    """Microseconds per row and feature of X^T [[d]], against phe's float and integer paths on ``sample`` rows."""
    rng = np.random.default_rng(2)
    floats = np.clip(rng.normal(size=(rows, columns)), -7.9, 7.9)
    features = np.rint(floats * 2.0 ** (FEATURE_BITS - 4)).astype(np.int64)
    residuals = np.rint(rng.uniform(-1, 1, rows) * 2.0**RESIDUAL_BITS).astype(np.int64)
    vector = encrypt(key.public, residuals)
    theirs = key.public.to_phe()
    as_float = [theirs.encrypt(float(v) / 2**RESIDUAL_BITS) for v in residuals[:sample]]
    as_integer = [theirs.encrypt(int(v)) for v in residuals[:sample]]
    x, k = floats[:sample, 0].tolist(), features[:sample, 0].tolist()

    def dot(ciphertexts: list[Any], factors: list[Any]) -> None:
        sum((c * f for c, f in zip(ciphertexts[1:], factors[1:], strict=True)), ciphertexts[0] * factors[0])

    found = transposed_product(features, vector)
    exact = features.T.astype(object) @ residuals.astype(object)
    if decrypt(key, found) != [int(v) for v in exact]:
        raise SystemExit("the product is wrong")
    small = rng.integers(-128, 128, (rows, columns))
    return {
        "phe_float_us": best_us(lambda: dot(as_float, x), sample, 1),
        "phe_integer_us": best_us(lambda: dot(as_integer, k), sample, 1),
        "ours_24_bit_us": best_us(lambda: transposed_product(features, vector), rows * columns, repeat),
        "limit_us": mulmod_limit(vector, repeat),
        "ours_8_bit_us": best_us(lambda: transposed_product(small, vector), rows * columns, repeat),
    }


def measure(quick: bool) -> dict[str, Any]:
    """All figures of one run, in microseconds and as ratios."""
    key = generate(2048)
    rows, columns, sample, repeat = (10_000, 2, 60, 2) if quick else (100_000, 4, 400, 3)
    e = encryption(key, rows, sample, repeat)
    p = product(key, rows, columns, sample, repeat)
    return {
        "setting": {
            "key_bits": 2048,
            "rows": rows,
            "columns": columns,
            "phe_sample_rows": sample,
            "quick": quick,
            "python": platform.python_version(),
            "gmp": gmpy2.mp_version(),
            "machine": platform.machine(),
        },
        "encryption": e | {"ratio_phe": e["phe_us"] / e["ours_us"]},
        "product": p
        | {
            "ratio_phe_float": p["phe_float_us"] / p["ours_24_bit_us"],
            "ratio_phe_integer": p["phe_integer_us"] / p["ours_24_bit_us"],
            "multiple_of_limit_8_bit": p["ours_8_bit_us"] / p["limit_us"],
        },
    }


def show(results: dict[str, Any], console: Console) -> None:
    """Print the figures with the targets they are held against."""
    setting, e, p = results["setting"], results["encryption"], results["product"]
    title = f"Paillier, {setting['key_bits']} bits, {setting['rows']:,} rows, one core"
    table = Table(title=title, caption=f"* phe timed on {setting['phe_sample_rows']} rows, per element")
    table.add_column("operation", no_wrap=True)
    for name in ("against, us", "ours, us", "ratio", "target"):
        table.add_column(name, justify="right")
    fast, small = p["ours_24_bit_us"], p["ours_8_bit_us"]
    lines = (
        ("encrypt, phe*", e["phe_us"], e["ours_us"], e["ratio_phe"], ">= 60"),
        ("X^T[[d]] 24 bit, phe float*", p["phe_float_us"], fast, p["ratio_phe_float"], ">= 20"),
        ("X^T[[d]] 24 bit, phe integer*", p["phe_integer_us"], fast, p["ratio_phe_integer"], "-"),
        ("X^T[[d]] 8 bit, multiply-mod", p["limit_us"], small, p["multiple_of_limit_8_bit"], "<= 3"),
    )
    for operation, peer, ours, ratio, target in lines:
        table.add_row(escape(operation), f"{peer:,.1f}", f"{ours:,.1f}", f"{ratio:,.1f}", target)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", nargs="?", type=Path, default=Path(".tombolo/bench/paillier.json"))
    parser.add_argument("--quick", action="store_true", help="10,000 rows and small samples: about 20 seconds")
    options = parser.parse_args()
    results = measure(options.quick)
    show(results, Console())
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
