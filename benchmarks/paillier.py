"""Paillier kernels, compared in turn with python-paillier (in its usual form), FATE's Rust kernels, and the limit of the machine.

``python -m benchmarks.paillier [--quick] [--kernels PYTHON] [OUTPUT.json]``: keys of 2048 bits, CPU microseconds of one process.
Slow operations of the peers are measured on a part of the rows and given per element; the table marks them. ``--kernels`` names the
Python interpreter of an environment with benchmarks/requirements.lock. The limit is the time of a multiplication modulo 4096 bits
in C, with GMP and with OpenSSL. It is skipped if there is no compiler or if the headers are missing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks._turns import Peer, Side, compare, cpu_us
from tombolo.fl_tasks.crypto.matvec import transposed_product
from tombolo.fl_tasks.crypto.paillier import PrivateKey, generate
from tombolo.fl_tasks.crypto.pool import open_pool
from tombolo.fl_tasks.crypto.vector import CipherVector, decrypt, encrypt

RESIDUAL_BITS = 32
BITS = (20, 8)
TARGETS = {
    "paillier_encrypt_vs_phe": 100,
    "paillier_encrypt_vs_fate_kernels": 100,
    "xtd_20bit_vs_phe": 25,
    "xtd_8bit_vs_phe": 45,
    "xtd_20bit_vs_phe_integers": 15,
    "xtd_8bit_vs_phe_integers": 15,
    "xtd_vs_fate_kernels": 8,
    "xtd_two_processes_vs_one": 1.7,
}
WHAT = {
    "paillier_encrypt_vs_phe": "encrypt, phe*",
    "paillier_encrypt_vs_fate_kernels": "encrypt, FATE's kernels*",
    "xtd_20bit_vs_phe": "X^T[[d]] 20 bit, phe floats*",
    "xtd_8bit_vs_phe": "X^T[[d]] 8 bit, phe floats*",
    "xtd_20bit_vs_phe_integers": "X^T[[d]] 20 bit, phe integers*",
    "xtd_8bit_vs_phe_integers": "X^T[[d]] 8 bit, phe integers*",
    "xtd_vs_fate_kernels": "X^T[[d]] 20 bit, FATE's kernels*",
    "xtd_two_processes_vs_one": "X^T[[d]] 20 bit, one process, seconds",
}


def seconds(work: Callable[[], Any]) -> Side:
    """A side measured in wall-clock seconds."""

    def once() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return once


def limit() -> dict[str, Any]:
    """Microseconds of a multiplication modulo 4096 bits in C, or the reason why there is no figure."""
    source = Path(__file__).with_name("_multiply_modulo.c")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "limit"
        try:
            subprocess.run(["cc", "-O2", "-o", str(program), str(source), "-lgmp", "-lcrypto"], check=True, capture_output=True)
            figures: dict[str, Any] = json.loads(subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout)
            return figures
        except (OSError, subprocess.CalledProcessError):
            return {"skipped": "needs a C compiler and the headers of GMP and OpenSSL (gcc, libgmp-dev, libssl-dev)"}


class Work:
    """The data for both sides: residuals under one key, and matrices with integers of several sizes."""

    def __init__(self, key: PrivateKey, rows: int, columns: int, sample: int) -> None:
        rng = np.random.default_rng(2)
        self.key, self.rows, self.columns, self.sample = key, rows, columns, sample
        self.residuals = np.rint(rng.uniform(-1, 1, rows) * 2.0**RESIDUAL_BITS).astype(np.int64)
        self.matrices = {bits: rng.integers(-(1 << bits - 1), 1 << bits - 1, (rows, columns)) for bits in BITS}
        self.vector = encrypt(key.public, self.residuals)
        self.phe = key.public.to_phe()
        part = self.residuals[:sample].tolist()
        self.phe_floats = [self.phe.encrypt(value / 2**RESIDUAL_BITS) for value in part]
        self.phe_integers = [self.phe.encrypt(value) for value in part]

    def encryption(self) -> Side:
        """Our encryption."""
        return cpu_us(lambda: encrypt(self.key.public, self.residuals), self.rows)

    def phe_encryption(self) -> Side:
        """python-paillier's encryption."""
        values = (self.residuals[: self.sample] / 2**RESIDUAL_BITS).tolist()
        return cpu_us(lambda: [self.phe.encrypt(value) for value in values], self.sample)

    def product(self, bits: int) -> Side:
        """Our product X^T [[d]] with integers of ``bits`` bits."""
        return cpu_us(lambda: transposed_product(self.matrices[bits], self.vector), self.rows * self.columns)

    def phe_product(self, bits: int, floats: bool) -> Side:
        """python-paillier's product of one column, with floats or with integers."""
        column = self.matrices[bits][: self.sample, 0]
        factors = (column / 2.0 ** (bits - 4)).tolist() if floats else column.tolist()
        held = self.phe_floats if floats else self.phe_integers

        def dot() -> None:
            sum((c * f for c, f in zip(held[1:], factors[1:], strict=True)), held[0] * factors[0])

        return cpu_us(dot, self.sample)

    def check(self) -> None:
        """Exit if a result is wrong."""
        for matrix in self.matrices.values():
            exact = matrix.T.astype(object) @ self.residuals.astype(object)
            if decrypt(self.key, transposed_product(matrix, self.vector)) != [int(value) for value in exact]:
                raise SystemExit("a product is wrong")


def two_processes(work: Work, turns: int) -> dict[str, Any]:
    """The 20-bit product by two processes and by one, in wall-clock seconds."""
    matrix = work.matrices[20]
    with open_pool(2) as pool:
        transposed_product(matrix[:1000], work.vector[:1000], pool)  # starts the processes
        return compare(
            seconds(lambda: transposed_product(matrix, work.vector, pool)),
            seconds(lambda: transposed_product(matrix, work.vector)),
            turns,
        )


def against_kernels(work: Work, python: Path, turns: int) -> dict[str, Any]:
    """Compare with the two kernels of FATE."""
    with Peer(python, "_fate_kernels.py") as peer:
        return {
            "paillier_encrypt_vs_fate_kernels": compare(work.encryption(), peer.side({"encrypt": work.sample}, work.sample), turns),
            "xtd_vs_fate_kernels": compare(
                work.product(20), peer.side({"product": [work.sample, 4], "bits": 20}, work.sample * 4), turns
            ),
        }


def multiply(vector: CipherVector) -> float:
    """CPU microseconds of a multiplication and a remainder modulo n^2 called from Python: the cost per element of a plain pass."""
    values, modulus = vector.values(), vector.public.nsquare

    def run() -> None:
        product = values[0]
        for value in values:
            product = product * value % modulus

    return cpu_us(run, len(values))()


def measure(rows: int, columns: int, sample: int, turns: int, kernels: Path | None) -> dict[str, Any]:
    """Measure all figures: CPU microseconds per element, and ratios."""
    work = Work(generate(2048), rows, columns, sample)
    work.check()
    figures = {"paillier_encrypt_vs_phe": compare(work.encryption(), work.phe_encryption(), turns)}
    for bits in BITS:
        figures[f"xtd_{bits}bit_vs_phe"] = compare(work.product(bits), work.phe_product(bits, True), turns)
        figures[f"xtd_{bits}bit_vs_phe_integers"] = compare(work.product(bits), work.phe_product(bits, False), turns)
    skipped = {}
    if kernels is None:
        reason = "FATE's kernels are not installed; run `make .venv-bench`, then name its interpreter with --kernels"
        skipped = {name: reason for name in ("paillier_encrypt_vs_fate_kernels", "xtd_vs_fate_kernels")}
    else:
        figures |= against_kernels(work, kernels, turns)
    figures["xtd_two_processes_vs_one"] = two_processes(work, turns)
    return {
        "setting": {"key_bits": 2048, "rows": rows, "columns": columns, "sample_rows": sample, "turns": turns},
        "figures": figures,
        "limit": limit() | {"python_us": multiply(work.vector[: min(rows, 20_000)])},
        "ratios": {name: figure["ratio"]["median"] for name, figure in figures.items()},
        "skipped": skipped,
    }


def show(results: dict[str, Any], console: Console) -> None:
    """Print the figures and their targets."""
    setting, multiplications = results["setting"], results["limit"]
    title = f"Paillier, {setting['key_bits']} bits, {setting['rows']:,} rows, CPU us per element"
    table = Table(title=title, caption=f"* timed on {setting['sample_rows']} rows; median of {setting['turns']} turns (spread)")
    table.add_column("against", no_wrap=True)
    for name in ("theirs", "ours", "ratio", "target"):
        table.add_column(name, justify="right")
    for name, figure in results["figures"].items():
        ratio = f"{figure['ratio']['median']:,.1f} ({figure['ratio']['lowest']:,.1f} to {figure['ratio']['highest']:,.1f})"
        sides = (f"{figure[side]['median']:,.1f}" for side in ("against", "ours"))
        table.add_row(escape(WHAT[name]), *sides, ratio, f">= {TARGETS[name]}")
    console.print(table)
    for name, reason in results["skipped"].items():
        console.print(f"{name}: skipped, {reason}")
    c = (
        multiplications.get("skipped")
        or f"{multiplications['gmp_us']:.2f} us with GMP, {multiplications['openssl_us']:.2f} with OpenSSL"
    )
    console.print(f"A multiplication modulo n^2: {c}; {multiplications['python_us']:.2f} us from Python.")


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", nargs="?", type=Path, default=Path(".tombolo/bench/paillier.json"))
    parser.add_argument("--quick", action="store_true", help="50,000 rows and small samples: about two minutes")
    parser.add_argument(
        "--kernels", type=Path, metavar="PYTHON", help="compare with FATE's kernels; name a Python interpreter that has them"
    )
    options = parser.parse_args()
    size = (50_000, 10, 60, 3) if options.quick else (100_000, 10, 200, 5)
    results = measure(*size, options.kernels)
    show(results, Console())
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
