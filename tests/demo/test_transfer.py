"""The diagnosis demo's own parts: who is where in its tables, and the plot."""

from __future__ import annotations

from xml.etree import ElementTree

import pandas as pd

from tombolo.cli.demo.diagnosis import COMMON, ID, LABEL, write_tables
from tombolo.cli.demo.transfer import picture


def test_few_patients_are_common_and_the_clinic_knows_no_diagnosis(tmp_path):
    tables = write_tables(tmp_path)
    hospital, clinic = (pd.read_parquet(tables[party].table) for party in ("hospital", "clinic"))
    common = set(hospital[ID]) & set(clinic[ID])
    assert len(common) == COMMON
    assert LABEL not in clinic
    assert LABEL not in pd.read_parquet(tables["clinic"].predict_table)
    assert set(hospital[LABEL]) == {0, 1}
    marks = pd.read_csv(tables["hospital"].split).set_index(ID)["set"]
    assert set(marks.index) == common
    assert (marks == "train").sum() == COMMON // 2
    new = pd.read_parquet(tables["clinic"].predict_table)[ID]
    assert not set(new) & (set(hospital[ID]) | set(clinic[ID]))
    assert set(pd.read_parquet(tables["clinic"].labels_table)[ID]) == set(new)
    assert tables["hospital"].settings() == {"table": {"source": "parquet", "path": "patients.parquet"}, "split": "split.csv"}


def test_the_picture_has_a_line_per_model_and_every_number_of_patients():
    points = [
        {"common": float(common), "transfer": 0.7, "logistic regression": 0.6 + common / 1000, "support vector machine": 0.65}
        for common in (30, 60, 120)
    ]
    root = ElementTree.fromstring(picture(points))
    assert len(root.findall("{*}polyline")) == 3
    texts = [one.text for one in root.findall("{*}text")]
    assert {"0", "30", "60", "120", "transfer", "common patients", root.get("aria-label")} <= set(texts)
