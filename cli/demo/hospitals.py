"""Tables of four hospitals: scikit-learn's breast cancer data, split so that each hospital has tumours of other sizes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tombolo.cli.demo.tables import Tables

if TYPE_CHECKING:
    import pandas as pd

SITES = ("north", "east", "south", "west")
LABEL = "malignant"
_NEW = 0.15
_SEED = 20260303


def write_hospitals(folder: Path) -> dict[str, Path]:
    """Write a Parquet file per hospital into ``folder``: the patient's id, thirty columns, and whether the tumour is malignant."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, patients in _sites().items():
        paths[name] = folder / f"{name}.parquet"
        patients.to_parquet(paths[name], index=False)
    return paths


def write_tables(folder: Path) -> dict[str, Tables]:
    """Write each hospital's tables into a folder with its name. Some patients become new patients, to predict for.

    A split file holds out every fourth of the other patients, so that the demo has the same figures in every run.
    """
    written = {}
    for name, patients in _sites().items():
        own = folder / name
        own.mkdir(parents=True, exist_ok=True)
        tables = written[name] = Tables(
            own / "patients.parquet", own / "new_patients.parquet", own / "outcomes.parquet", own / "split.csv"
        )
        new, known = patients[: round(_NEW * len(patients))], patients[round(_NEW * len(patients)) :]
        known.to_parquet(tables.table, index=False)
        new.drop(columns=LABEL).to_parquet(tables.predict_table, index=False)
        new[["patient", LABEL]].to_parquet(tables.labels_table, index=False)
        sets = ["train" if number % 4 else "test" for number in range(len(known))]
        known[["patient"]].assign(set=sets).to_csv(tables.split, index=False)
    return written


def _sites() -> dict[str, pd.DataFrame]:
    """The patients of each hospital, in random order."""
    import numpy as np
    import pandas as pd
    from sklearn.datasets import load_breast_cancer

    data, rng = load_breast_cancer(), np.random.default_rng(_SEED)
    everybody = pd.DataFrame(data.data, columns=[name.replace(" ", "_") for name in data.feature_names])
    everybody.insert(0, "patient", [f"P-{number:05d}" for number in rng.choice(100_000, len(everybody), replace=False)])
    everybody[LABEL] = 1 - data.target
    leaning = everybody["mean_radius"].rank(pct=True).to_numpy() + rng.normal(scale=0.25, size=len(everybody))
    site = np.digitize(leaning, np.quantile(leaning, [0.2, 0.45, 0.75]))
    return {name: everybody[site == number].sample(frac=1, random_state=number) for number, name in enumerate(SITES)}
