"""Writes two small tables of the same made-up customers: what a shop and a bank know of them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CUSTOMERS = 1_000


def main(folder: Path) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(CUSTOMERS, 4))
    bought = x @ [1.0, -0.5, 2.0, 0.0] + rng.logistic(size=CUSTOMERS) > 0
    ids = [f"customer-{number}" for number in range(CUSTOMERS)]
    folder.mkdir(parents=True, exist_ok=True)
    shop = {"customer": ids, "bought": bought.astype(int), "visits": x[:, 0], "returns": x[:, 1]}
    bank = {"customer": ids, "income": x[:, 2], "age": x[:, 3]}
    pq.write_table(pa.table(shop), folder / "shop.parquet")
    pq.write_table(pa.table(bank), folder / "bank.parquet")


main(Path(sys.argv[1]))
