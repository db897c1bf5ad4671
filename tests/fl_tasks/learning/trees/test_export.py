"""A boosted model written for XGBoost, by consent of all hosts: it loads, and scores new rows as the federation does."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import xgboost
from typer.testing import CliRunner

from tests.federation import TEST_BITS
from tests.fl_tasks.workflow.test_boosted import PARTIES, ROWS, expected, lived
from tombolo.cli.app import app
from tombolo.fl_tasks.learning.links import sigmoid
from tombolo.fl_tasks.learning.trees.export import ForeignRelease, NoConsent, NotExportable, export, release
from tombolo.fl_tasks.runtime.context import PartyContext


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return lived(tmp_path_factory.mktemp("export"))


def rows(made, names: list[str]) -> np.ndarray:
    """The new rows' raw values by feature name, in the clinic's order of ids."""
    order = {id: at for at, id in enumerate(made.new["clinic"].column("id").to_pylist())}
    found = np.full((ROWS, len(names)), np.nan)
    for column, name in enumerate(names):
        party, own = name.split(".", 1)
        table = made.new[party]
        found[[order[id] for id in table.column("id").to_pylist()], column] = table.column(own).to_numpy()
    return found


def test_xgboost_scores_as_the_federation_does(made, tmp_path):
    path = tmp_path / "model.json"
    releases = [release(made.context(party), "run-1") for party in ("lab", "bank")]
    path.write_text(json.dumps(export(made.context("clinic"), "run-1", releases)))
    booster = xgboost.Booster(model_file=path)
    names = booster.feature_names
    assert {name.split(".")[0] for name in names} == set(PARTIES)
    found = booster.predict(xgboost.DMatrix(rows(made, names), feature_names=names), output_margin=True)
    totals = expected(made)
    np.testing.assert_allclose(found, [totals[id][0] for id in made.new["clinic"].column("id").to_pylist()], atol=2e-6)
    delivered = pq.read_table(Path(made.results["predict-new"]["clinic"]["scores"]))
    scores = dict(zip(delivered.column("id").to_pylist(), delivered.column("score").to_pylist(), strict=True))
    np.testing.assert_allclose(sigmoid(found), [scores[id] for id in made.new["clinic"].column("id").to_pylist()], atol=1e-6)


def test_several_classes_are_exported_too(tmp_path):
    made = lived(tmp_path, classes=3)
    path = tmp_path / "model.json"
    path.write_text(
        json.dumps(export(made.context("clinic"), "run-1", [release(made.context(p), "run-1") for p in ("lab", "bank")]))
    )
    booster = xgboost.Booster(model_file=path)
    matrix = xgboost.DMatrix(rows(made, booster.feature_names), feature_names=booster.feature_names)
    totals = expected(made)
    wanted = np.array([totals[id] for id in made.new["clinic"].column("id").to_pylist()])
    np.testing.assert_allclose(booster.predict(matrix, output_margin=True), wanted, atol=2e-6)


def test_nothing_is_exported_without_the_consent_of_all(made):
    with pytest.raises(NoConsent, match="bank"):
        export(made.context("clinic"), "run-1", [release(made.context("lab"), "run-1")])


def test_a_release_shows_nothing_but_to_the_guest_and_cannot_be_altered(made):
    good = release(made.context("lab"), "run-1")
    assert "lab_a" not in json.dumps(good) and "threshold" not in json.dumps(good)
    other = release(made.context("bank"), "run-1")
    for change in (
        {"version": "run-2"},
        {"party": "bank"},
        {"sealed": other["sealed"]},
        {"signature": other["signature"]},
        {"x": 1},
    ):
        with pytest.raises(ForeignRelease):
            export(made.context("clinic"), "run-1", [{**good, **change}, other])
    with pytest.raises(ForeignRelease):
        export(made.context("clinic"), "run-1", [{}])


@pytest.mark.parametrize(
    "forge",
    [
        lambda found: found[:-1],
        lambda found: [{**one, "threshold": "nan"} for one in found],
        lambda found: [{**one, "threshold": 1e300} for one in found],
        lambda found: [{**one, "missing_left": "false"} for one in found],
        lambda found: [{**one, "more": 1} for one in found],
        lambda found: ["split"],
    ],
)
def test_a_signed_release_of_something_else_is_refused(made, monkeypatch, forge):
    import tombolo.fl_tasks.learning.trees.export as module

    real = module.splits
    with monkeypatch.context() as patched:
        patched.setattr(module, "splits", lambda part: forge(real(part)))
        forged = release(made.context("lab"), "run-1")
    with pytest.raises(ForeignRelease) as caught:
        export(made.context("clinic"), "run-1", [forged, release(made.context("bank"), "run-1")])
    assert caught.value.party == "lab"


def test_who_may_do_what(made):
    with pytest.raises(NotExportable):
        release(made.context("clinic"), "run-1")
    with pytest.raises(NotExportable):
        export(made.context("lab"), "run-1", [])


def test_commands(made, tmp_path, monkeypatch):
    monkeypatch.setattr(PartyContext, "open", partial(PartyContext.open, shortest_key=TEST_BITS))  # of the trained model
    files = []
    for party in ("lab", "bank"):
        files.append(tmp_path / f"{party}.json")
        told = CliRunner().invoke(
            app, ["model", "release", "trial", "run-1", "--out", str(files[-1]), "--settings", str(made.settings(party))]
        )
        assert told.exit_code == 0, told.output
    out = tmp_path / "model.json"
    arguments = ["model", "export", "trial", "run-1", "--out", str(out), "--settings", str(made.settings("clinic"))]
    arguments += [word for file in files for word in ("--release", str(file))]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert len(xgboost.Booster(model_file=out).get_dump()) == 4
    assert CliRunner().invoke(app, arguments).exit_code == 2, "never overwritten"
