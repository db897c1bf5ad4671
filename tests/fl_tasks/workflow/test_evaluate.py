"""Evaluation: everybody ends with the same metrics, which are those of the whole model; the gate stops all alike."""

import numpy as np
import pytest

from tests.federation import FOREVER, quiet
from tests.fl_tasks.workflow.trained import trained
from tests.rounded import rounded
from tombolo.agreements.task import TaskTerms
from tombolo.fl_tasks.learning.gains import gains
from tombolo.fl_tasks.learning.linear_part import partial_scores
from tombolo.fl_tasks.learning.metrics import classification
from tombolo.fl_tasks.models.reading import part_of_run
from tombolo.fl_tasks.workflow.aligned import features, label, load_aligned
from tombolo.fl_tasks.workflow.evaluate import QualityGateFailed, evaluate, evaluation_messages
from tombolo.fl_tasks.workflow.publish import NotEvaluated, publish
from tombolo.storage.canonical import parse
from tombolo.storage.schema import ForeignNumber


@pytest.mark.parametrize("hosts", [("lab",), ("lab", "bank")])
def test_all_parties_hear_the_metrics_of_the_whole_model(tmp_path, hosts):
    made = trained(tmp_path, "clinic", *hosts, scores=["clinic", "lab"])
    found = made.stage(evaluate, "run-1")
    totals, labels = 0.0, None
    for party in made.data_parties:
        context = made.context(party)
        aligned = load_aligned(context, "run-1")
        part, held_out = part_of_run(context, "run-1"), features(context, aligned).filter(aligned.test)
        totals = totals + partial_scores(part, part.encoder.transform(held_out))
        if party == "clinic":
            labels = label(context, aligned)[aligned.test]
    expected = classification(labels, totals)
    for party in made.parties:
        assert found[party]["metrics"] == rounded(expected, len(labels))
        assert found[party]["rows"] == len(labels)
        assert found[party]["quality"] == "no gate"
    assert expected["auc"] > 0.7
    histograms = {party: parse(made.context(party).run_area("run-1").get("evaluation"))["histogram"] for party in made.parties}
    assert histograms["clinic"] == histograms["lab"] and sum(histograms["lab"]["shares"]) == pytest.approx(1, abs=0.05)
    assert all(histograms[party] is None for party in made.parties if party not in ("clinic", "lab"))
    kept = {party: parse(made.context(party).run_area("run-1").get("evaluation")).get("gains") for party in made.parties}
    assert kept.pop("clinic") == pytest.approx(gains(labels, totals), abs=1e-6)
    assert not any(kept.values())
    assert made.stage(evaluate, "run-1") == found


def test_the_gate_fails_at_every_party_and_nothing_is_published(tmp_path):
    made = trained(tmp_path, "clinic", "lab", quality={"metric": "auc", "minimum": 0.9999})
    for party in made.parties:
        with pytest.raises(QualityGateFailed, match=r"auc is 0\.\d+; at least 0.9999 is agreed"):
            made.run_all(lambda party: evaluate(made.context(party), "run-1", FOREVER, quiet))
        with pytest.raises(NotEvaluated):
            publish(made.context(party), "run-1", FOREVER, quiet)


def test_linear_models_have_an_upper_bound(tmp_path):
    made = trained(tmp_path, "clinic", "lab", protocol="linear", quality={"metric": "rmse", "maximum": 100})
    found = made.stage(evaluate, "run-1")
    assert found["notary"]["quality"] == "passed"
    assert set(found["notary"]["metrics"]) == {"rmse", "r2"}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_metrics_that_are_not_numbers_are_refused(tmp_path, value):
    made = trained(tmp_path, "clinic", "lab")
    with made.context("clinic").session(
        "run-1", evaluation_messages(made.context("clinic").terms.task), "evaluate", FOREVER, quiet
    ) as session:
        names = ["auc", "ks", "accuracy", "logloss"]
        session.send("metrics", name=names, value=[0.9, value, 0.9, 0.1], rows=[9] * 4)
    with pytest.raises(ForeignNumber):
        evaluate(made.context("notary"), "run-1", FOREVER, quiet)


def test_the_disclosures_are_these():
    assert set(evaluation_messages(TaskTerms.of({"protocol": "logistic-arbiter", "label": {"column": "y"}})).disclosures()) == {
        "sole_score.score",
        "metrics.value",
        "metrics.rows",
        "score_edges.edge",
        "score_shares.share",
    }
