"""Publication: one create-only version per run at every party, with a card; nobody's record holds another's part."""

import stat
from pathlib import Path

import pytest

from fl_tasks.models import registry
from fl_tasks.models.registry import NoSuchModel
from fl_tasks.stages.evaluate import evaluate
from fl_tasks.stages.publish import NotEvaluated, publish
from tests.federation import FOREVER, quiet
from tests.fl_tasks.stages.trained import trained


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    made = trained(tmp_path_factory.mktemp("published"), "clinic", "lab", quality={"metric": "auc", "minimum": 0.6})
    with pytest.raises(NotEvaluated):
        publish(made.place("clinic"), "run-1", FOREVER, quiet)
    with pytest.raises(NoSuchModel, match="No version"):
        registry.load(made.place("clinic"))
    made.stage(evaluate, "run-1")
    made.results = made.stage(publish, "run-1")
    return made


def test_each_record_holds_its_own_part(published):
    for party, columns in (("clinic", ["clinic_a", "clinic_b"]), ("lab", ["lab_a", "lab_b"])):
        record = registry.load(published.place(party), "run-1")
        assert record["part"]["names"] == columns
        assert record["evaluation"]["metrics"] == published.results["clinic"]["metrics"]
    assert registry.load(published.place("notary"))["part"] is None


def test_the_facts_hold_no_weights_and_name_everything(published):
    for party, facts in published.results.items():
        assert facts["version"] == "run-1" and facts["party"] == party
        assert facts["manifest_digest"] == published.place("clinic").manifest("run-1").digest
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
    assert registry.latest_version(published.place("lab")) == "run-1"
    assert [record["version"] for record in registry.versions(published.place("lab"))] == ["run-1"]


def test_an_unknown_version_is_refused(published):
    with pytest.raises(NoSuchModel, match="Version other"):
        registry.load(published.place("lab"), "other")
