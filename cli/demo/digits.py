"""Tables of five sorting offices with scikit-learn's handwritten digits: split at random, or two of the ten digits per office."""

from __future__ import annotations

from pathlib import Path

OFFICES = ("castle", "harbour", "market", "mill", "station")
_SEED = 20260401


def write_digits(folder: Path, skewed: bool = False) -> dict[str, Path]:
    """Write a Parquet file per office into ``folder``: the item's id, 64 pixels from 0 to 16, and the digit."""
    import numpy as np
    import pandas as pd
    from sklearn.datasets import load_digits

    data, rng = load_digits(), np.random.default_rng(_SEED)
    everything = pd.DataFrame(data.data, columns=[f"pixel_{number}" for number in range(64)])
    everything.insert(0, "item", [f"D-{number:05d}" for number in rng.choice(100_000, len(everything), replace=False)])
    everything["digit"] = data.target
    by_digit, at_random = rng.permutation(10) // 2, rng.permutation(len(everything)) % len(OFFICES)
    office = by_digit[data.target] if skewed else at_random
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for number, name in enumerate(OFFICES):
        paths[name] = folder / f"{name}.parquet"
        everything[office == number].to_parquet(paths[name], index=False)
    return paths
