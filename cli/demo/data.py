"""The demo's tables: scikit-learn's breast cancer data (WDBC), split between a clinic and a laboratory.

The clinic has the label and seven weaker columns, the laboratory the 23 strong ones. Each knows patients that the other does not,
and they keep them in different order. Some patients are set aside as new ones, to predict for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LABEL, ID = "malignant", "patient"
CLINIC_COLUMNS = (
    "mean_texture",
    "mean_smoothness",
    "mean_symmetry",
    "mean_fractal_dimension",
    "texture_error",
    "smoothness_error",
    "symmetry_error",
)
_NEW, _LACKING = 90, 0.03
_SEED = 20260101


@dataclass(frozen=True)
class Tables:
    """Paths of what was written: training tables, tables of new patients, and what became of those."""

    clinic: Path
    laboratory: Path
    clinic_new: Path
    laboratory_new: Path
    outcomes: Path


def write_tables(folder: Path) -> Tables:
    """Write the parties' tables under ``folder``: the clinic's as Parquet, the laboratory's as CSV."""
    import numpy as np
    import pandas as pd
    from sklearn.datasets import load_breast_cancer

    data, rng = load_breast_cancer(), np.random.default_rng(_SEED)
    names = [name.replace(" ", "_") for name in data.feature_names]
    everybody = pd.DataFrame(data.data, columns=names)
    everybody.insert(0, ID, [f"P-{number:05d}" for number in rng.choice(100_000, len(everybody), replace=False)])
    everybody[LABEL] = 1 - data.target
    new = np.zeros(len(everybody), dtype=bool)
    new[rng.choice(len(everybody), _NEW, replace=False)] = True
    strong = [name for name in names if name not in CLINIC_COLUMNS]

    def part(rows: np.ndarray, columns: list[str]) -> pd.DataFrame:
        """These rows and columns in an order of their own, less the patients that this party does not know."""
        known = rows & (rng.random(len(rows)) >= _LACKING)
        return everybody.loc[known, columns].sample(frac=1, random_state=int(rng.integers(1 << 31)))

    own = folder / "clinic"
    theirs = folder / "laboratory"
    for place in (own, theirs):
        place.mkdir(parents=True, exist_ok=True)
    tables = Tables(
        own / "patients.parquet",
        theirs / "samples.csv",
        own / "new_patients.parquet",
        theirs / "new_samples.csv",
        own / "outcomes.parquet",
    )
    part(~new, [ID, *CLINIC_COLUMNS, LABEL]).to_parquet(tables.clinic, index=False)
    part(~new, [ID, *strong]).to_csv(tables.laboratory, index=False)
    part(new, [ID, *CLINIC_COLUMNS]).to_parquet(tables.clinic_new, index=False)
    part(new, [ID, *strong]).to_csv(tables.laboratory_new, index=False)
    everybody.loc[new, [ID, LABEL]].to_parquet(tables.outcomes, index=False)
    return tables
