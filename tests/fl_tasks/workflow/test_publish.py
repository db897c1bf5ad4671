"""Publication: one create-only version per run at every party, with a card; nobody's record holds another's part."""

import json
import stat
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file
from typer.testing import CliRunner

from tests.federation import FOREVER, TEST_BITS, quiet
from tests.fl_tasks.workflow.trained import trained
from tombolo.cli.app import app
from tombolo.fl_tasks.models import registry
from tombolo.fl_tasks.models.reading import NotTrained, part_of_version
from tombolo.fl_tasks.models.registry import AlteredPart, NoSuchModel
from tombolo.fl_tasks.models.tensors import from_file, to_file
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.publish import NotEvaluated, publish


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    made = trained(tmp_path_factory.mktemp("published"), "clinic", "lab", quality={"metric": "auc", "minimum": 0.6})
    with pytest.raises(NotEvaluated):
        publish(made.context("clinic"), "run-1", FOREVER, quiet)
    with pytest.raises(NoSuchModel, match="No version"):
        registry.load(made.context("clinic"))
    made.stage(evaluate, "run-1")
    made.results = made.stage(publish, "run-1")
    return made


def test_each_record_holds_its_own_part(published):
    for party, columns in (("clinic", ["clinic_a", "clinic_b"]), ("lab", ["lab_a", "lab_b"])):
        record = registry.load(published.context(party), "run-1")
        assert part_of_version(published.context(party), "run-1").document["names"] == columns
        assert registry.load_part(published.context(party), "run-1") == published.context(party).run_area("run-1").get("model")
        assert record["evaluation"]["metrics"] == published.results["clinic"]["metrics"]
    assert registry.load(published.context("notary"))["part"] is None
    with pytest.raises(NotTrained):
        part_of_version(published.context("notary"), "run-1")


def test_what_any_reader_of_safetensors_finds(published, tmp_path, monkeypatch):
    opened = PartyContext.open
    monkeypatch.setattr(PartyContext, "open", lambda name, path, _=TEST_BITS: opened(name, path, TEST_BITS))
    """The command writes the very file that is kept, once, for its owner."""
    out = tmp_path / "part.safetensors"
    asked = ["model", "part", "trial", "run-1", "--out", str(out), "--settings", str(published.settings("lab"))]
    told = CliRunner().invoke(app, asked)
    assert told.exit_code == 0 and "safetensors" in told.output
    part = part_of_version(published.context("lab"), "run-1")
    assert load_file(out)["weights"].tolist() == part.weights.tolist()
    with safe_open(out, "numpy") as file:
        assert set(file.keys()) == {"weights"}
        assert json.loads(file.metadata()["tombolo"])["names"] == ["lab_a", "lab_b"]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert "exists" in CliRunner().invoke(app, asked).output
    assert "TMB-MODEL-005" in str(CliRunner().invoke(app, [*asked[:-1], str(published.settings("notary"))]).exception)


def test_another_part_in_the_place_of_the_published_one_is_refused(published):
    parts = published.context("lab").private.area("parts")
    stored = parts.get("run-1")
    parts.delete("run-1")
    try:
        parts.keep("run-1", to_file({**from_file(stored), "weights": np.zeros(2)}))
        with pytest.raises(AlteredPart, match="run-1"):
            part_of_version(published.context("lab"), "run-1")
    finally:
        parts.delete("run-1")
        parts.keep("run-1", stored)


def test_the_facts_hold_no_weights_and_name_everything(published):
    for party, facts in published.results.items():
        assert facts["version"] == "run-1" and facts["party"] == party
        assert facts["manifest_digest"] == published.context("clinic").manifest("run-1").digest
        assert "weights" not in str(facts) and "part" not in facts


def test_the_card_lies_in_the_private_folder(published):
    path = Path(published.results["clinic"]["card"])
    text = path.read_text()
    assert "`clinic_a`" in text and "lab_a" not in text and "auc at least 0.6, passed" in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.is_relative_to(published.root / "clinic")


def test_gains_are_on_the_card_of_the_label_holder_alone(published):
    for party, facts in published.results.items():
        path = Path(facts["card"])
        assert ("gains.svg" in path.read_text()) == (path.with_name("gains.svg").exists()) == (party == "clinic")


def test_publishing_again_changes_nothing(published):
    assert published.stage(publish, "run-1") == published.results
    assert registry.latest_version(published.context("lab")) == "run-1"
    assert [record["version"] for record in registry.versions(published.context("lab"))] == ["run-1"]


def test_an_unknown_version_is_refused(published):
    with pytest.raises(NoSuchModel, match="Version other"):
        registry.load(published.context("lab"), "other")
