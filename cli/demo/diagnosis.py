"""The tables of the diagnosis demo: generated patients of a large hospital and of a small clinic (docs/demo-transfer.md).

The hospital knows which of its patients have the illness. The clinic measures other things and has no diagnoses of its own
patients. Few patients were at both places.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tombolo.cli.demo.tables import Tables

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Floats = npt.NDArray[np.float64]

ID, LABEL = "patient", "ill"
HOSPITAL_COLUMNS = (
    *("age", "crp", "leukocytes", "ferritin", "albumin"),
    *("creatinine", "glucose", "haemoglobin", "temperature", "oxygen"),
)
CLINIC_COLUMNS = (
    *("pulse", "systolic", "diastolic", "weight_change", "breaths"),
    *("fatigue", "pain", "cough_days", "walking_metres", "sleep_hours"),
    *("appetite", "nausea", "dizziness", "grip", "step_height"),
    *("lung_volume", "waist", "skinfold", "reaction_ms", "visits"),
)
HOSPITAL, CLINIC, COMMON, NEW = 2400, 800, 120, 900
_SEED = 20260505


def write_tables(folder: Path) -> dict[str, Tables]:
    """Write each party's tables into a folder with its name. Every second common patient is held out. The file of diagnoses of the
    clinic's new patients stands for labels that arrive later."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(_SEED)
    everybody = generate(rng, HOSPITAL + CLINIC - COMMON + NEW)
    at = np.arange(len(everybody))
    of_hospital, new = at < HOSPITAL, at >= HOSPITAL + CLINIC - COMMON
    of_clinic = (at >= HOSPITAL - COMMON) & ~new
    hospital, clinic = folder / "hospital", folder / "clinic"
    for home in (hospital, clinic):
        home.mkdir(parents=True, exist_ok=True)
    tables = {
        "hospital": Tables(hospital / "patients.parquet", None, None, hospital / "split.csv"),
        "clinic": Tables(clinic / "patients.parquet", clinic / "new_patients.parquet", clinic / "diagnoses.parquet"),
    }
    for party, rows, columns in (
        ("hospital", of_hospital, [ID, *HOSPITAL_COLUMNS, LABEL]),
        ("clinic", of_clinic, [ID, *CLINIC_COLUMNS]),
    ):
        everybody.loc[rng.permutation(at[rows]), columns].to_parquet(tables[party].table, index=False)
    everybody.loc[new, [ID, *CLINIC_COLUMNS]].to_parquet(clinic / "new_patients.parquet", index=False)
    everybody.loc[new, [ID, LABEL]].to_parquet(clinic / "diagnoses.parquet", index=False)
    sets = np.where(at[of_hospital & of_clinic] % 2, "test", "train")
    pd.DataFrame({ID: everybody.loc[of_hospital & of_clinic, ID], "set": sets}).to_csv(hospital / "split.csv", index=False)
    return tables


def generate(rng: np.random.Generator, patients: int) -> pd.DataFrame:
    """Generate patients with the columns of both parties. All columns depend on four hidden causes, with noise."""
    import numpy as np
    import pandas as pd

    cause = rng.normal(size=(patients, 4))
    logit = 1.6 * cause[:, 0] + 1.1 * cause[:, 1] + 0.8 * cause[:, 2] * cause[:, 3] - 0.9
    ill = (rng.random(patients) < 1 / (1 + np.exp(-logit))).astype(np.int64)
    ids = np.array([f"P-{number:06d}" for number in rng.choice(1_000_000, patients, replace=False)])
    frame = pd.DataFrame({ID: ids, LABEL: ill})
    for names, noise in ((HOSPITAL_COLUMNS, 0.6), (CLINIC_COLUMNS, 1.5)):
        mixed = cause @ rng.normal(size=(4, len(names))) / 2 + noise * rng.normal(size=(patients, len(names)))
        for index, name in enumerate(names):
            centre, spread = _USUAL[name]
            value = centre + spread * mixed[:, index] / mixed[:, index].std()
            frame[name] = np.round(value if name == "weight_change" else np.maximum(value, 0), 2)
    return frame


_USUAL = {
    "age": (58, 14),
    "crp": (24, 11),
    "leukocytes": (8.1, 2.2),
    "ferritin": (190, 70),
    "albumin": (40, 4),
    "creatinine": (88, 19),
    "glucose": (5.9, 1.2),
    "haemoglobin": (13.6, 1.5),
    "temperature": (37.1, 0.6),
    "oxygen": (95, 1.3),
    "pulse": (78, 11),
    "systolic": (131, 16),
    "diastolic": (81, 9),
    "weight_change": (-0.6, 2.4),
    "breaths": (15.5, 2.6),
    "fatigue": (4.4, 1.9),
    "pain": (3.6, 1.8),
    "cough_days": (5.5, 3.1),
    "walking_metres": (430, 95),
    "sleep_hours": (6.7, 1.1),
    "appetite": (5.8, 1.7),
    "nausea": (2.9, 1.6),
    "dizziness": (2.4, 1.4),
    "grip": (31, 7),
    "step_height": (16, 3.4),
    "lung_volume": (3.1, 0.6),
    "waist": (94, 11),
    "skinfold": (21, 6),
    "reaction_ms": (310, 45),
    "visits": (4.2, 1.9),
}
"""The mean and the standard deviation of each column, in the usual unit of what it measures."""
