"""Tables of four hospitals: scikit-learn's breast cancer data, split by site so that each sees tumours of other sizes."""

from __future__ import annotations

from pathlib import Path

SITES = ("north", "east", "south", "west")
_SEED = 20260303


def write_hospitals(folder: Path) -> dict[str, Path]:
    """Write a Parquet file per hospital under ``folder``: patient, thirty columns, and whether the tumour was malignant."""
    import numpy as np
    import pandas as pd
    from sklearn.datasets import load_breast_cancer

    data, rng = load_breast_cancer(), np.random.default_rng(_SEED)
    everybody = pd.DataFrame(data.data, columns=[name.replace(" ", "_") for name in data.feature_names])
    everybody.insert(0, "patient", [f"P-{number:05d}" for number in rng.choice(100_000, len(everybody), replace=False)])
    everybody["malignant"] = 1 - data.target
    leaning = everybody["mean_radius"].rank(pct=True).to_numpy() + rng.normal(scale=0.35, size=len(everybody))
    site = np.digitize(leaning, np.quantile(leaning, [0.2, 0.45, 0.75]))
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for number, name in enumerate(SITES):
        paths[name] = folder / f"{name}.parquet"
        everybody[site == number].sample(frac=1, random_state=number).to_parquet(paths[name], index=False)
    return paths
