"""Prediction and monitoring of new rows with a published version."""

import stat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.federation import FOREVER, quiet
from tests.fl_tasks.workflow.trained import sample, settle, trained
from tombolo.fl_tasks.learning.linear_part import partial_scores
from tombolo.fl_tasks.learning.links import sigmoid
from tombolo.fl_tasks.learning.metrics import classification
from tombolo.fl_tasks.models.reading import part_of_version
from tombolo.fl_tasks.models.registry import NoSuchModel
from tombolo.fl_tasks.tables.encoding import MissingValues, UnusableColumn
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.monitor import NothingToMonitor, history, monitor
from tombolo.fl_tasks.workflow.predict import NoVersionNamed, predict
from tombolo.fl_tasks.workflow.publish import publish
from tombolo.fl_tasks.workflow.validate import validate

PARTIES = ("clinic", "lab", "bank")


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    """Run ``new-1`` has scored 200 new rows for the clinic and the bank; labels arrived at the clinic for half of them."""
    made = trained(tmp_path_factory.mktemp("predicted"), *PARTIES, scores=["clinic", "bank"])
    made.stage(evaluate, "run-1")
    made.stage(publish, "run-1")
    made.new, made.labels = sample(2, rows=200)
    for party in PARTIES:
        table = made.new[party]
        settle(made, party, "predict_table", table.drop(["label"]) if party == "clinic" else table)
    made.start("new-1", "predict", model="run-1")
    for stage in (validate, align):
        made.stage(stage, "new-1")
    made.results = made.stage(predict, "new-1")
    return made


def _expected(made):
    """Probabilities by id, from all parts at once."""
    totals = {}
    for party in PARTIES:
        table = made.new[party]
        part = part_of_version(made.context(party), "run-1")
        for id, u in zip(table.column("id").to_pylist(), partial_scores(part, part.encoder.transform(table)), strict=True):
            totals[id] = totals.get(id, 0.0) + u
    return {id: float(sigmoid(u)) for id, u in totals.items()}


@pytest.mark.parametrize("party", ["clinic", "bank"])
def test_recipients_have_the_scores_of_the_whole_model_with_their_ids(predicted, party):
    path = Path(predicted.results[party]["scores"])
    scored = pq.read_table(path)
    assert scored.column_names == ["id", "score"]
    found = dict(zip(*(column.to_pylist() for column in scored.columns), strict=True))
    assert found == pytest.approx(_expected(predicted), abs=1e-8)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_others_get_none(predicted):
    for party in ("lab", "notary"):
        assert predicted.results[party]["scores"] is None
        assert not list((predicted.root / party).rglob("predictions/**/*.parquet"))


def test_predicting_again_changes_nothing(predicted):
    before = Path(predicted.results["clinic"]["scores"]).read_bytes()
    Path(predicted.results["clinic"]["scores"]).unlink()
    assert predicted.stage(predict, "new-1") == predicted.results
    assert Path(predicted.results["clinic"]["scores"]).read_bytes() == before


def test_a_run_must_name_a_version_that_exists(predicted):
    predicted.start("new-2", "predict", model="run-9")
    with pytest.raises(NoSuchModel, match="run-9"):
        predict(predicted.context("lab"), "new-2", FOREVER, quiet)
    with pytest.raises(NoVersionNamed):
        predict(predicted.context("lab"), "run-1", FOREVER, quiet)


def test_monitoring_without_labels_tells_the_drift(predicted):
    found = monitor(predicted.context("bank"), "watch-1", FOREVER, quiet)
    assert found["model"] == "run-1" and found["predicted_rows"] == 200
    assert 0 <= found["psi"] < 0.25 and not found["drift"]
    assert found["live"] is None and found["labelled_rows"] == 0


def test_monitoring_with_labels_books_live_metrics(predicted):
    scores = pq.read_table(Path(predicted.results["clinic"]["scores"]))
    ids, p = scores.column("id").to_pylist()[:100], scores.column("score").to_numpy()[:100]
    labels = [predicted.labels[id] for id in ids]
    settle(predicted, "clinic", "labels_table", pa.table({"id": [*ids, "stranger"], "label": [*labels, 1]}))
    found = monitor(predicted.context("clinic"), "watch-2", FOREVER, quiet)
    assert found["labelled_rows"] == 100
    assert found["live"] == pytest.approx(classification(labels, np.log(p / (1 - p))), abs=1e-9)
    assert found["live"]["auc"] > 0.7
    settle(predicted, "clinic", "labels_table", pa.table({"id": ids, "label": [1 - label for label in labels]}))
    assert monitor(predicted.context("clinic"), "watch-2", FOREVER, quiet) == found, "booked once"
    turned = monitor(predicted.context("clinic"), "watch-3", FOREVER, quiet)
    assert {"auc", "ks", "accuracy", "logloss"} == set(turned["worse"])
    assert [one["run"] for one in history(predicted.context("clinic"), "run-1")] == ["watch-2", "watch-3"]


def test_who_holds_no_scores_cannot_monitor(predicted):
    with pytest.raises(NothingToMonitor):
        monitor(predicted.context("lab"), "watch-1", FOREVER, quiet)


def test_new_rows_are_checked_against_the_model_before_anything_leaves(predicted):
    """Columns that the model does not use may hold anything; its own may not be missing, nor their values."""
    good = predicted.new["lab"]
    gap = pa.array([None, *good.column("lab_a").to_pylist()[1:]], pa.float64())
    for number, (table, error) in enumerate(
        (
            (good.append_column("remark", pa.nulls(good.num_rows, pa.string())), None),
            (good.set_column(good.column_names.index("lab_a"), "lab_a", gap), MissingValues),
            (good.drop_columns(["lab_a"]), UnusableColumn),
        )
    ):
        settle(predicted, "lab", "predict_table", table)
        run = predicted.start(f"checked-{number}", "predict", model="run-1")
        if error is None:
            assert predicted.stage(validate, run)["lab"]["rows"] == 200
        else:
            with pytest.raises(error, match=r"lab.*Column lab_a"):
                predicted.stage(validate, run)
    settle(predicted, "lab", "predict_table", good)
