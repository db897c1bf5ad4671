"""Trees over clients' rows from invitation to settlement: every client has the whole model, and XGBoost reads it."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import xgboost
from typer.testing import CliRunner

from tests.federation import quiet
from tests.fl_tasks.protocols.horizontal_trees.wards import HOSPITALS, wards
from tests.rounded import rounded
from tombolo.cli.app import app
from tombolo.fl_tasks.learning.horizontal.report import PAGE
from tombolo.fl_tasks.learning.metrics import measure
from tombolo.fl_tasks.learning.trees.part import TreePart
from tombolo.fl_tasks.learning.trees.reference import boosted
from tombolo.fl_tasks.models.reading import part_of_run
from tombolo.fl_tasks.models.reference import LabelledRows, Pooled
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.aligned import features, label, load_aligned
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.monitor import monitor
from tombolo.fl_tasks.workflow.predict import predict
from tombolo.fl_tasks.workflow.publish import publish
from tombolo.fl_tasks.workflow.settle import settle
from tombolo.fl_tasks.workflow.train import train
from tombolo.fl_tasks.workflow.validate import validate


def lived(tmp_path, objective: str = "logistic", **parameters):
    """A run of two legs up to publication; how many held-out rows every client has."""
    fed = wards(tmp_path, objective, terms={"scores": list(HOSPITALS)}, **parameters)
    run = fed.start()
    for stage in (validate, align):
        fed.stage(stage, run)
    assert not fed.stage(train, run, leg_end=1)["north"]["finished"]
    assert all(one["finished"] for one in fed.stage(train, run).values())
    return fed, run


def everybody(fed, run):
    """Codes, labels and held-out rows of all clients, and their totals by the joint model."""
    found = []
    for party in HOSPITALS:
        context = fed.context(party)
        aligned, part = load_aligned(context, run), part_of_run(context, run)
        codes = part.encoder.transform(features(context, aligned))
        assert isinstance(part, TreePart) and part.whole
        found.append((codes, label(context, aligned), aligned.test, part.totals(codes, batch=17)))
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


@pytest.mark.slow
def test_a_whole_run_equals_xgboosts_on_all_rows(tmp_path):
    fed, run = lived(tmp_path, rounds=6)
    parts = [fed.context(party).run_area(run).get("model") for party in HOSPITALS]
    assert all(part == parts[0] for part in parts)
    evaluated = fed.stage(evaluate, run)
    published = fed.stage(publish, run)
    codes, y, test, totals = everybody(fed, run)
    context = fed.context("centre")
    rows = LabelledRows(y, np.ones(len(y)), test)
    reference = boosted(Pooled(context.terms.task, context.terms.limits, context.params(run), 6, {"": codes}, rows))
    np.testing.assert_allclose(totals[test, 0], reference, atol=2e-5)
    expected = measure("binary", y[test], reference)
    assert abs(measure("binary", y[test], totals[test, 0])["auc"] - expected["auc"]) < 5e-4
    for found in evaluated.values():
        metrics = found["metrics"]
        assert metrics["logloss"] == rounded(expected["logloss"], test.sum(), 1e-5)
        assert abs(metrics["auc"] - expected["auc"]) <= metrics["auc_error"] + 5e-4
    card = (fed.context("north").docs(run) / "model-card.md").read_text()
    for fact in (
        "horizontal boosted trees",
        "| column | share of gain | splits |",
        "| age |",
        "Every client holds the same model.",
    ):
        assert fact in card
    assert published["centre"]["rounds"] is None
    pages = {(fed.context(party).docs(run) / PAGE / "index.html").read_text() for party in fed.parties}
    assert len(pages) == 1
    _, column = pages.pop().split("<td>dose</td>")
    assert "±" in column
    settled = fed.stage(settle, run)
    assert not settled["centre"]["unmatched"]
    _predicts_monitors_and_exports(tmp_path, fed, run)


def _predicts_monitors_and_exports(tmp_path, fed, run):
    """North scores new rows by itself, watches their drift, and writes the model for XGBoost, which scores alike."""
    new = pq.read_table(tmp_path / "north" / "table.parquet").drop_columns(["label"])
    pq.write_table(new, tmp_path / "north" / "new.parquet")
    for party in HOSPITALS:
        own = "../north/new.parquet"
        settings = fed.settings(party)
        settings.write_text(
            settings.read_text().replace(
                "trial:\n    table:", f"trial:\n    predict_table: {{source: parquet, path: {own}}}\n    table:"
            )
        )
    fed.start("new-1", "predict", run)
    for stage in (validate, align):
        fed.stage(stage, "new-1")
    scores = pq.read_table(fed.stage(predict, "new-1")["north"]["scores"])
    assert not list((tmp_path / "north" / "store").rglob("to-*/trial/new-1/*/predict.*"))
    context = fed.context("north")
    watched = monitor(context, "watch-1", Wait(0), quiet)
    assert watched["predicted_rows"] == new.num_rows and watched["psi"] >= 0
    out = tmp_path / "model.json"
    arguments = ["model", "export", "trial", run, "--out", str(out), "--settings", str(fed.settings("north"))]
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 0, told.output
    refused = ["model", "release", "trial", run, "--out", str(tmp_path / "x"), "--settings", str(fed.settings("north"))]
    assert CliRunner().invoke(app, refused).exit_code != 0
    booster = xgboost.Booster(model_file=out)
    by_id = dict(zip(new.column("id").to_pylist(), range(new.num_rows), strict=True))
    order = [by_id[one] for one in scores.column("id").to_pylist()]
    ward = np.array(new.column("ward").to_pylist())
    values = {name: new.column(name).to_numpy() for name in ("age", "dose", "visits")} | {
        f"ward={level}": (ward == level).astype(float) for level in ("a", "b")
    }
    x = np.column_stack([values[name] for name in booster.feature_names])[order]
    margin = booster.predict(xgboost.DMatrix(x, feature_names=booster.feature_names), output_margin=True)
    np.testing.assert_allclose(1 / (1 + np.exp(-margin)), scores.column("score").to_numpy(), atol=2e-6)
    assert json.loads(out.read_text())["learner"]["objective"]["name"] == "binary:logistic"


@pytest.mark.slow
def test_numbers_and_early_stopping(tmp_path):
    """Rows kept for early stopping are learnt from by nobody, and the model keeps the rounds up to the best."""
    fed, run = lived(tmp_path, "squared", rounds=6, patience=1, validation_fraction=0.3, learning_rate=1.0)
    part = part_of_run(fed.context("south"), run)
    losses = part.document["validation_loss"]
    best = int(np.argmin(losses))
    assert part.rounds == best + 1 == len(part.trees)
    assert len(losses) == min(6, best + 2)
    evaluated = fed.stage(evaluate, run)
    _, y, test, totals = everybody(fed, run)
    expected = measure("number", y[test], totals[test, 0])
    for name in ("rmse", "r2"):
        assert evaluated["centre"]["metrics"][name] == rounded(expected[name], test.sum(), 1e-5 * abs(expected[name]))


@pytest.mark.slow
def test_a_client_that_comes_back_has_the_model_and_settles(tmp_path):
    """South misses round 2, as a process that is down for a while; it hears what it missed, and holds the same model."""
    fed = wards(tmp_path, rounds=4, depth=2)
    run = fed.start()
    for stage in (validate, align):
        fed.stage(stage, run)
    fed.stage(train, run, leg_end=1)
    fed.stage(train, run, [party for party in fed.parties if party != "south"], leg_end=2)
    for stage in (train, evaluate, publish):
        fed.stage(stage, run)
    parts = [fed.context(party).run_area(run).get("model") for party in HOSPITALS]
    assert all(part == parts[0] for part in parts)
    assert list((tmp_path / "south" / "store").glob("to-centre/trial/run-1/000002/train.0a.0/advertise/head"))
    assert not list((tmp_path / "south" / "store").glob("to-centre/trial/run-1/000002/train.2a.*/masked/head"))
    settled = fed.stage(settle, run)
    assert {one["unmatched"] for one in settled.values()} == {0}
