"""How well labels are found from ``exposure`` times the allowed numbers: the table of the waiver expose-small-tables.

A recipient has independent columns, the sums of the labels under each, and the class share. It solves by least squares around the
share (Gauss-Markov: the best linear guess). Run ``python -m benchmarks.labels_by_equations``; it takes about ten minutes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.learning.metrics import measure
from tombolo.fl_tasks.privacy.numbers import most_label_numbers

Floats = npt.NDArray[np.float64]
FACTORS = (1, 2, 4, 8, 16, 32)
SHARES = (0.5, 0.37, 0.3, 0.22)
ROWS = (400, 800, 4000, 18_000)
SEEDS, FEW_SEEDS = 20, 4
"""The second for more than 1,000 numbers: one seed then has a deviation of 0.004 at most."""


def guess(weights: Floats, sums: Floats, share: float) -> Floats:
    """The guess of labels, shape (rows,), from ``weights`` (numbers, rows) and ``sums`` = weights @ labels."""
    left = np.linalg.lstsq(weights @ weights.T, sums - share * weights.sum(axis=1), rcond=1e-12)[0]
    return np.asarray(share + weights.T @ left)


def attack(rows: int, numbers: int, share: float, seed: int) -> float:
    """The AUC of the guess from this many numbers; 0.5 if there are none."""
    random = np.random.default_rng(seed)
    y = np.zeros(rows)
    y[random.permutation(rows)[: round(share * rows)]] = 1.0
    weights = random.normal(size=(min(numbers, rows), rows))
    return float(measure("binary", y, guess(weights, weights @ y, share))["auc"]) if numbers else 0.5


def table(seeds: int = SEEDS) -> str:
    """The mean AUC by rows, share and exposure, as Markdown."""
    lines = [
        "| rows | p | allowed | " + " | ".join(f"f = {factor}" for factor in FACTORS) + " |",
        "|---" * (3 + len(FACTORS)) + "|",
    ]
    for rows in ROWS:
        for share in SHARES:
            most = most_label_numbers(rows, share)
            found = []
            for numbers in (factor * most for factor in FACTORS):
                tries = seeds if numbers <= 1000 else min(seeds, FEW_SEEDS)
                found.append(np.mean([attack(rows, numbers, share, seed) for seed in range(tries)]))
            lines.append(f"| {rows} | {share} | {most} | " + " | ".join(f"{auc:.3f}" for auc in found) + " |")
            print(lines[-1], flush=True)
    return "\n".join(lines)


if __name__ == "__main__":
    table()
