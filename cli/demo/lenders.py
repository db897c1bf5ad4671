"""Tables of the lending demo: 100,000 generated people, and their open loans with three lenders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tombolo.cli.demo.tables import Tables

if TYPE_CHECKING:
    import pandas as pd

PEOPLE = 100_000
SHARES = {"leasing": 0.35, "cards": 0.45, "savings": 0.30}
_SEED = 20260404


def write_tables(folder: Path) -> dict[str, Tables]:
    """Write each lender's customers into a folder with its name."""
    written = {}
    for name, customers in customers_of(PEOPLE).items():
        own = folder / name
        own.mkdir(parents=True, exist_ok=True)
        written[name] = Tables(own / "customers.parquet")
        customers.to_parquet(written[name].table, index=False)
    return written


def customers_of(people: int) -> dict[str, pd.DataFrame]:
    """Each lender's table of person, open loans and exposure. It is the same in every run.

    A person who borrows from one lender often borrows from another lender too.
    """
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(_SEED)
    ids = np.array([f"{number:018d}" for number in rng.choice(10**15, people, replace=False)])
    appetite = rng.normal(size=people)
    tables = {}
    for name, share in SHARES.items():
        leaning = appetite + rng.normal(size=people)
        known = np.flatnonzero(leaning >= np.quantile(leaning, 1 - share))
        known = rng.permutation(known)
        loans = 1 + rng.poisson(0.7, len(known))
        exposure = (rng.lognormal(9.5, 0.8, len(known)) * loans).round(2)
        tables[name] = pd.DataFrame({"person": ids[known], "open_loans": loans, "exposure": exposure})
    return tables


def three_people(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """The ids of three people: a customer of all three lenders, a customer of one lender, and a customer of none."""
    known = [set(table["person"]) for table in tables.values()]
    everybody = set.intersection(*known)
    first = set(known[0]).difference(*known[1:])
    return {"known to three lenders": min(everybody), "known to one": min(first), "known to none": f"{10**17:018d}"}


def truth(tables: Mapping[str, pd.DataFrame], person: str, unit: int) -> dict[str, int]:
    """A person's loans and exposure in the tables of all lenders. Each exposure is rounded as its lender rounds it."""
    import numpy as np

    rows = [row for table in tables.values() for row in table[table["person"] == person].itertuples()]
    return {
        "loans": sum(int(row.open_loans) for row in rows),
        "exposure": sum(int(np.round(row.exposure / unit)) for row in rows) * unit,
    }
