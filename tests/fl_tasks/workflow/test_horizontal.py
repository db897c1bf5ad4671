"""A horizontal run from invitation to settlement: the joint model is the pooled one, the same at every client."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.fl_tasks.learning.horizontal.hospitals import HOSPITALS, hospitals
from tests.rounded import rounded, slack
from tombolo.fl_tasks.learning import regression
from tombolo.fl_tasks.learning.linear_part import partial_scores
from tombolo.fl_tasks.learning.metrics import measure, metric_names
from tombolo.fl_tasks.models.reading import part_of_run
from tombolo.fl_tasks.models.tensors import to_file
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.aligned import LEARNT, SCORED, encoded_rows, features, label, load_aligned
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.predict import predict
from tombolo.fl_tasks.workflow.publish import publish
from tombolo.fl_tasks.workflow.settle import settle
from tombolo.fl_tasks.workflow.train import train
from tombolo.fl_tasks.workflow.validate import validate


def pooled_rows(fed, run, parties=HOSPITALS):
    """Everybody's encoded rows and labels, and which are held out."""
    x, y, test = [], [], []
    for party in parties:
        context = fed.context(party)
        aligned = load_aligned(context, run)
        x.append(part_of_run(context, run).encoder.transform(features(context, aligned)))
        y.append(label(context, aligned))
        test.append(aligned.test)
    return np.concatenate(x), np.concatenate(y), np.concatenate(test)


@pytest.mark.slow
@pytest.mark.parametrize("outcome", ["binary", "number"])
def test_a_whole_run_equals_the_pooled_model(tmp_path, outcome):
    fed = hospitals(tmp_path, outcome)
    run = fed.start()
    assert fed.guest == "centre"
    results = {stage.__name__: fed.stage(stage, run) for stage in (validate, align)}
    assert results["align"]["centre"] == {}
    assert 0.1 < results["align"]["north"]["test"] / results["align"]["north"]["rows"] < 0.4  # five of twenty buckets
    assert not fed.stage(train, run, leg_end=1)["north"]["finished"]
    trained = fed.stage(train, run)
    assert all(one["finished"] for one in trained.values())
    x, y, test = pooled_rows(fed, run)
    weights, intercept = (regression.linear if outcome == "number" else regression.logistic)(x[~test], y[~test], 0.01)
    parts = [part_of_run(fed.context(party), run) for party in HOSPITALS]
    scale = y[~test].std() if outcome == "number" else 1.0
    for part in parts:
        assert to_file(part.document) == to_file(parts[0].document)
        assert part.weights / scale == pytest.approx(weights / scale, abs=1e-6)
        assert part.intercept / scale == pytest.approx(intercept / scale, abs=1e-6)
    assert x[~test].mean(axis=0) == pytest.approx(0, abs=1e-5)
    assert x[~test].std(axis=0) == pytest.approx(1, abs=1e-5)
    evaluated = fed.stage(evaluate, run)
    expected = measure(outcome, y[test], x[test] @ weights + intercept)
    for found in evaluated.values():
        assert found["rows"] == test.sum()
        for name in metric_names(outcome):
            if name == "ks":  # between bins only, where it can be no higher
                assert 0 < found["metrics"][name] <= expected[name] + slack(expected[name], test.sum()) + 1e-9
                continue
            error = found["metrics"]["auc_error"] if name == "auc" else 0.0
            assert found["metrics"][name] == rounded(expected[name], test.sum(), 1e-5 * abs(expected[name]) + 1e-6 + error)
    fed.stage(publish, run)
    settled = fed.stage(settle, run)
    assert {one["block"] for one in settled.values()} == {settled["centre"]["block"]}
    assert not settled["centre"]["unmatched"]


@pytest.mark.slow
def test_every_client_scores_its_own_rows_by_itself(tmp_path):
    fed = hospitals(tmp_path)
    run = fed.start(rounds=4)
    for stage in (validate, align, train, evaluate, publish):
        fed.stage(stage, run)
    for party in HOSPITALS:
        new = pq.read_table(tmp_path / party / "table.parquet").drop_columns(["label"]).slice(0, 5)
        pq.write_table(new, tmp_path / party / "new.parquet")
        settings = fed.settings(party)
        settings.write_text(
            settings.read_text().replace(
                "trial:\n    table:", "trial:\n    predict_table: {source: parquet, path: new.parquet}\n    table:"
            )
        )
    fed.start("new-1", "predict", run)
    for stage in (validate, align):
        fed.stage(stage, "new-1")
    made = fed.stage(predict, "new-1")
    assert made["centre"]["rows"] is None
    assert not list((tmp_path / "north" / "store").rglob("to-*/trial/new-1/*/predict.*"))
    for party in HOSPITALS:
        scores = pq.read_table(made[party]["scores"])
        context = fed.context(party)
        table = pq.read_table(tmp_path / party / "new.parquet").select(["age", "dose", "ward"])
        part = part_of_run(context, run)
        logits = partial_scores(part, part.encoder.transform(table))
        assert np.allclose(sorted(scores.column("score").to_pylist()), sorted(1 / (1 + np.exp(-logits))))


def test_rows_are_kept_encoded_as_soon_as_there_is_a_common_encoder(tmp_path):
    fed = hospitals(tmp_path)
    run = fed.start()
    for stage in (validate, align):
        fed.stage(stage, run)
    kept = {party: fed.context(party).run_area(run).area("aligned") for party in HOSPITALS}
    raw = {party: features(context := fed.context(party), load_aligned(context, run)) for party in HOSPITALS}
    assert all(area.names("raw-") and not area.names(LEARNT) for area in kept.values())
    fed.stage(train, run, leg_end=1)
    assert not any(area.names("raw-") for area in kept.values())
    fed.stage(train, run)
    for party in HOSPITALS:
        context, test = fed.context(party), load_aligned(fed.context(party), run).test
        x = part_of_run(context, run).encoder.transform(raw[party])
        assert np.array_equal(encoded_rows(context, run, LEARNT), x[~test])
        assert np.array_equal(encoded_rows(context, run, SCORED), x[test])


@pytest.mark.slow
def test_a_client_that_vanishes_is_missed_and_the_others_finish(tmp_path):
    """West trains two rounds and is never seen again; the model is that of the other hospitals' rows, with the common encoding."""
    fed = hospitals(tmp_path, terms={"deadlines": {"settle": 12}}, tolerance=1e-4)
    run = fed.start()
    for stage in (validate, align):
        fed.stage(stage, run)
    fed.stage(train, run, leg_end=2)
    others = [party for party in fed.parties if party != "west"]
    finished = fed.stage(train, run, others)
    assert all(one["finished"] for one in finished.values())
    fed.stage(evaluate, run, others)
    fed.stage(publish, run, others)
    x, y, test = pooled_rows(fed, run, HOSPITALS[:3])
    weights, intercept = regression.logistic(x[~test], y[~test], 0.01)
    part = part_of_run(fed.context("east"), run)
    assert part.weights == pytest.approx(weights, abs=1e-6)
    assert part.intercept == pytest.approx(intercept, abs=1e-6)
    settled = fed.stage(settle, run, others)
    assert settled["centre"]["signers"] == sorted(others)


@pytest.mark.slow
def test_a_client_that_comes_back_settles_with_the_others(tmp_path):
    """South misses rounds 2 and 3; what it sends for them is too late for any sum, and is booked by both sides all the same."""
    fed = hospitals(tmp_path)
    run = fed.start()
    for stage in (validate, align):
        fed.stage(stage, run)
    fed.stage(train, run, leg_end=1)
    fed.stage(train, run, [party for party in fed.parties if party != "south"], leg_end=3)
    for stage in (train, evaluate, publish):
        fed.stage(stage, run)
    assert list((tmp_path / "south" / "store").glob("to-centre/trial/run-1/000003/train.0a/advertise/head"))
    assert not list((tmp_path / "south" / "store").glob("to-centre/trial/run-1/000003/train.2a/masked/head"))
    parts = [fed.context(party).run_area(run).get("model") for party in HOSPITALS]
    assert all(part == parts[0] for part in parts)
    settled = fed.stage(settle, run)
    assert {one["unmatched"] for one in settled.values()} == {0}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda table: table.drop_columns(["dose"]), "TMB-TABLE-005"),
        (lambda table: table.set_column(4, "label", pa.array([2] * table.num_rows)), "TMB-TABLE-012"),
        (lambda table: table.set_column(2, "dose", pa.array([None] * table.num_rows, pa.float64())), "TMB-TABLE-001"),
    ],
)
def test_a_table_without_the_agreed_columns_is_refused(tmp_path, change, code):
    fed = hospitals(tmp_path)
    path = tmp_path / "north" / "table.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    run = fed.start()
    with pytest.raises(Exception) as caught:
        fed.stage(validate, run, ["north"])
    assert caught.value.code == code
