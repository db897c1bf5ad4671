"""The tables of the wdbc demo: scikit-learn's breast cancer data (WDBC), split between a clinic and a laboratory.

The clinic has the label and the seven weaker columns; the laboratory has the 23 stronger columns. Each has patients that the other
does not have, and the row orders differ. Some patients become new patients, to predict for.
"""

from __future__ import annotations

from pathlib import Path

from tombolo.cli.demo.tables import Tables

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


def write_tables(folder: Path) -> dict[str, Tables]:
    """Write each party's tables into a folder with its name: the clinic's as Parquet, the laboratory's as CSV."""
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
        """These rows and columns in random order, without the patients that this party does not know."""
        known = rows & (rng.random(len(rows)) >= _LACKING)
        return everybody.loc[known, columns].sample(frac=1, random_state=int(rng.integers(1 << 31)))

    own = folder / "clinic"
    theirs = folder / "laboratory"
    for place in (own, theirs):
        place.mkdir(parents=True, exist_ok=True)
    clinic = Tables(own / "patients.parquet", own / "new_patients.parquet", own / "outcomes.parquet")
    laboratory = Tables(theirs / "samples.csv", theirs / "new_samples.csv")
    part(~new, [ID, *CLINIC_COLUMNS, LABEL]).to_parquet(clinic.table, index=False)
    part(~new, [ID, *strong]).to_csv(laboratory.table, index=False)
    part(new, [ID, *CLINIC_COLUMNS]).to_parquet(clinic.predict_table, index=False)
    part(new, [ID, *strong]).to_csv(laboratory.predict_table, index=False)
    everybody.loc[new, [ID, LABEL]].to_parquet(clinic.labels_table, index=False)
    return {"clinic": clinic, "laboratory": laboratory}
