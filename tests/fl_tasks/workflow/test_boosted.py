"""A boosted model's whole life: validated, aligned, trained, evaluated, published, predicted with, in both forms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.federation import TEST_BITS, Federation, federation
from tests.fl_tasks.workflow.trained import settle
from tests.rounded import rounded
from tombolo.fl_tasks.learning.links import sigmoid
from tombolo.fl_tasks.learning.metrics import measure
from tombolo.fl_tasks.learning.trees.part import importance
from tombolo.fl_tasks.learning.trees.reference import boosted as pooled_totals
from tombolo.fl_tasks.learning.trees.tree import directions, margins
from tombolo.fl_tasks.models.reading import part_of_run, part_of_version
from tombolo.fl_tasks.models.reference import LabelledRows, Pooled
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.aligned import NoLabel, features, label, load_aligned, weight
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.predict import predict
from tombolo.fl_tasks.workflow.publish import publish
from tombolo.fl_tasks.workflow.train import train
from tombolo.fl_tasks.workflow.validate import validate

PARTIES = ("clinic", "lab", "bank")
ROWS = 300


def sample(seed: int, classes: int = 2) -> dict[str, pa.Table]:
    """Tables with gaps; the label follows columns of all parties."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(ROWS, 6))
    signal = np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + np.abs(x[:, 4]) + 0.3 * rng.normal(size=ROWS)
    y = np.digitize(signal, np.quantile(np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + np.abs(x[:, 4]), np.arange(1, classes) / classes))
    x[rng.random(x.shape) < 0.15] = np.nan
    ids = np.array([f"{seed}-{index:04d}" for index in range(ROWS)])
    tables = {}
    for index, party in enumerate(PARTIES):
        order = rng.permutation(ROWS)
        columns = {"id": ids[order], f"{party}_a": x[order, 2 * index], f"{party}_b": x[order, 2 * index + 1]}
        tables[party] = pa.table(columns | ({"label": y[order], "w": 1.0 + order % 3} if party == "clinic" else {}))
    return tables


def boosted(
    root: Path, classes: int = 2, key_bits: int = TEST_BITS, terms: Mapping[str, Any] | None = None, **boosting
) -> Federation:
    """A clinic, a lab and a bank that agreed on boosted trees."""
    tables = sample(1, classes)
    boosting |= {"weight": "w"} | ({"objective": "softmax", "classes": classes} if classes > 2 else {})
    task = {"protocol": "secureboost", "label": {"column": "label"}, "boosting": boosting}
    task["parameters"] = {"key_bits": key_bits, "rounds": 4, "depth": 3, "bins": 8, "test_fraction": 0.3}
    roles = {"clinic": "guest", "lab": "host", "bank": "host"}
    return federation(
        root,
        tables,
        roles,
        task=task,
        limits={"minimum_leaf_rows": 5, "minimum_bin_rows": 10},
        tables={party: {"missing": "level"} for party in PARTIES},
        scores=["clinic", "bank"],
        **(terms or {}),
    )


def lived(root: Path, classes: int = 2, **boosting):
    """A federation whose run ``run-1`` was published and whose run ``new-1`` has scored new rows for the clinic and the bank."""
    made = boosted(root, classes, **boosting)
    made.start()
    for stage in (validate, align, train, evaluate, publish):
        made.results[stage.__name__] = made.stage(stage, "run-1")
    made.new = sample(2, classes)
    for party in PARTIES:
        table = made.new[party]
        settle(made, party, "predict_table", table.drop(["label"]) if party == "clinic" else table)
    made.start("new-1", "predict", model="run-1")
    for stage in (validate, align, predict):
        made.results[stage.__name__ + "-new"] = made.stage(stage, "new-1")
    return made


def expected(made) -> dict[str, np.ndarray]:
    """Margins of the new rows by id, from all parts at once."""
    order = {id: at for at, id in enumerate(made.new["clinic"].column("id").to_pylist())}
    left = []
    parts = {party: part_of_version(made.context(party), "run-1") for party in PARTIES}
    for party, part in parts.items():
        table = made.new[party]
        ways = directions(part.records, part.encoder.transform(table))
        found = np.zeros_like(ways)
        found[:, [order[id] for id in table.column("id").to_pylist()]] = ways
        left.append(found)
    total = margins(parts["clinic"].trees, parts["clinic"].base, left, ROWS)
    return {id: total[at] for id, at in order.items()}


def pooled_metrics(made: Federation) -> dict[str, Any]:
    """What XGBoost's model of the same bins reaches on the held-out rows of ``run-1``."""
    contexts = {party: made.context(party) for party in PARTIES}
    aligned = {party: load_aligned(context, "run-1") for party, context in contexts.items()}
    parts = {party: part_of_run(context, "run-1") for party, context in contexts.items()}
    codes = {party: parts[party].encoder.transform(features(contexts[party], aligned[party])) for party in PARTIES}
    guest, own = contexts["clinic"], aligned["clinic"]
    rows = LabelledRows(label(guest, own), weight(guest, own), own.test)
    terms, params = guest.terms, guest.params("run-1")
    margins = pooled_totals(Pooled(terms.task, terms.limits, params, parts["clinic"].rounds, codes, rows))
    return measure(terms.task.outcome, rows.labels[rows.test], margins)


@pytest.mark.parametrize("prediction", ["one-message", "level-wise"])
def test_scores_are_the_whole_models_in_both_forms(tmp_path, prediction):
    made = lived(tmp_path, prediction=prediction)
    totals = expected(made)
    for party in ("clinic", "bank"):
        scored = pq.read_table(Path(made.results["predict-new"][party]["scores"]))
        assert scored.column_names == ["id", "score"] and scored.num_rows == ROWS
        found = dict(zip(*(column.to_pylist() for column in scored.columns), strict=True))
        assert found == pytest.approx({id: float(sigmoid(u[0])) for id, u in totals.items()}, abs=1e-12)
    assert made.results["predict-new"]["lab"]["scores"] is None
    sent = {one.address.split("/")[-1] for one in made.context("lab").books("new-1").entries("sent")}
    assert ("directions" in sent, "turned" in sent) == (prediction == "one-message", prediction == "level-wise")


def test_the_model_is_xgboosts_on_the_same_bins(tmp_path):
    made = lived(tmp_path, feature_names=True)
    reference, rows = pooled_metrics(made), made.results["evaluate"]["lab"]["rows"]
    for party in PARTIES:
        found = made.results["evaluate"][party]["metrics"]
        assert {**found, "auc": 0.0} == rounded({**reference, "auc": 0.0}, rows)
        assert found["auc"] == rounded(reference["auc"], rows, 2e-3)  # sums in another order may break a tie of two rows
    guest = part_of_run(made.context("clinic"), "run-1")
    assert guest.rounds == 4 and len(guest.trees) == 4
    gains = importance(guest.document)
    assert sum(row["gain"] for row in gains) == pytest.approx(1)
    assert {row["column"] for row in gains} <= {f"{party}_{letter}" for party in PARTIES for letter in "ab"}
    card = Path(made.results["publish"]["clinic"]["card"]).read_text()
    assert "Importance of the columns" in card and gains[0]["column"] in card
    for party in ("lab", "bank"):
        text = Path(made.results["publish"][party]["card"]).read_text()
        assert "Importance of the columns" not in text and "clinic_" not in text


def test_several_classes(tmp_path):
    made = lived(tmp_path, classes=3)
    totals = expected(made)
    scored = pq.read_table(Path(made.results["predict-new"]["bank"]["scores"]))
    assert scored.column_names == ["id", "score", "class"]
    likeliest = dict(zip(scored.column("id").to_pylist(), scored.column("class").to_pylist(), strict=True))
    assert likeliest == {id: int(np.argmax(u)) for id, u in totals.items()}
    evaluated = made.results["evaluate"]["lab"]
    assert evaluated["metrics"] == rounded(pooled_metrics(made), evaluated["rows"])


def test_hosts_columns_are_nameless_unless_the_terms_say_otherwise(tmp_path):
    made = lived(tmp_path)
    part = part_of_run(made.context("clinic"), "run-1")
    hosts = {row["column"] for row in importance(part.document) if row["party"] != "clinic"}
    assert hosts and all(column.startswith("#") for column in hosts)
    assert "lab_" not in str(part.document) and "bank_" not in str(part.document)


@pytest.mark.parametrize(
    ("classes", "change"),
    [
        (2, {"label": lambda y: y + 1}),
        (3, {"label": lambda y: np.minimum(y, 1)}),
        (2, {"w": lambda w: np.where(w > 2, np.nan, w)}),
        (2, {"w": None}),
    ],
)
def test_labels_and_weights_are_checked_before_anything_leaves(tmp_path, classes, change):
    made = boosted(tmp_path, classes)
    file = made.root / "clinic" / "table.parquet"
    table = pq.read_table(file)
    for name, alter in change.items():
        values, table = table.column(name).to_numpy(), table.drop([name])
        table = table if alter is None else table.append_column(name, pa.array(alter(values)))
    pq.write_table(table, file)
    made.start()
    with pytest.raises(NoLabel, match=f"clinic.*Column {next(iter(change))}"):
        made.stage(validate, "run-1")
