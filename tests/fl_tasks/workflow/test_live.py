"""Live rewards: prediction runs pay for what the model does on labels that arrived since, once, and never more than agreed."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.federation import FOREVER, Federation, quiet
from tests.fl_tasks.incentives.evaluated import evaluated
from tests.fl_tasks.workflow.trained import settle as point_at
from tombolo.fl_tasks.learning.rounding import digits, significant
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.live import BadLiveQuality
from tombolo.fl_tasks.workflow.monitor import monitor
from tombolo.fl_tasks.workflow.predict import predict
from tombolo.fl_tasks.workflow.publish import publish
from tombolo.fl_tasks.workflow.settle import settle
from tombolo.fl_tasks.workflow.validate import validate
from tombolo.storage.schema import ForeignNumber

PARTIES = ("clinic", "lab")
LIVE = {"budget": 10_000, "live": {"budget": 1000, "minimum_rows": 50}}


@pytest.fixture
def published(tmp_path) -> Federation:
    """Run ``run-1`` is published, not settled; 200 new rows wait to be scored."""
    made = evaluated(tmp_path, LIVE, {"clinic": 2, "lab": 3}, rounds=3)
    made.stage(evaluate, "run-1")
    made.stage(publish, "run-1")
    random = np.random.default_rng(3)
    ids = [f"new{row:03d}" for row in range(200)]
    for party, count in (("clinic", 2), ("lab", 3)):
        columns = {f"{party}_{index}": random.normal(size=200) for index in range(count)}
        point_at(made, party, "predict_table", pa.table({"id": ids, **columns}))
    return made


def predicted(made: Federation, run: str) -> str:
    made.start(run, "predict", model="run-1")
    for stage in (validate, align, predict):
        made.stage(stage, run)
    return run


def label(made: Federation, run: str, rows: int, booking: str, right: bool = True) -> float:
    """Labels of so many rows arrive, as the scores have them or turned around; the guest monitors."""
    scores = pq.read_table(made.root / "clinic" / "predictions" / "trial" / f"{run}.parquet").slice(0, rows)
    likely = scores.column("score").to_numpy() > 0.5
    labels = np.where(np.arange(rows) % 5 == 0, ~likely, likely)
    labels = (labels if right else ~likely).astype(int)
    point_at(made, "clinic", "labels_table", pa.table({"id": scores.column("id"), "label": labels}))
    found = monitor(made.context("clinic"), booking, FOREVER, quiet)
    assert found["labelled_rows"] == rows
    return significant(found["live"]["auc"], digits(rows))


def settled(made: Federation, run: str) -> dict:
    results = list(made.stage(settle, run).values())
    facts = [{name: one[name] for name in ("contributions", "rewards", "block")} for one in results]
    assert all(one == facts[0] for one in facts)
    return facts[0]


def test_what_is_new_is_paid_once_by_the_shares_of_the_training_run(published):
    made = published
    first = settled(made, predicted(made, "new-1"))  # the training run's block is not there yet: it is settled on the way
    training = made.context("lab").blocks.get(1)["block"]
    assert training["run"] == "run-1" and sum(training["facts"]["rewards"]["rewards"].values()) == 10_000
    assert first["contributions"]["live"] == {"model": "run-1", "booking": "", "rows": 0, "value": 0, "share": 0}
    assert first["rewards"] == {"budget": 0, "currency": "EUR", "refunds": {}, "rewards": {"clinic": 0, "lab": 0}}

    auc = label(made, "new-1", 40, "watch-1")
    assert settled(made, predicted(made, "new-2"))["rewards"]["budget"] == 0, "fewer than fifty rows"

    auc = label(made, "new-1", 100, "watch-2")
    paid = settled(made, predicted(made, "new-3"))
    published_value = training["facts"]["contributions"]["coalitions"][-1]["value"]
    share = min(1.0, (auc - 0.5) / (published_value - 0.5))
    assert 0 < share < 1
    live = paid["contributions"]["live"]
    assert (live["booking"], live["rows"], live["value"]) == ("watch-2", 100, auc)
    assert live["share"] == pytest.approx(share)
    assert paid["rewards"]["budget"] == int(1000 * share) == sum(paid["rewards"]["rewards"].values())
    worth = training["facts"]["contributions"]["shapley"]
    for party in PARTIES:
        expected = paid["rewards"]["budget"] * max(worth[party], 0) / sum(max(one, 0) for one in worth.values())
        assert abs(paid["rewards"]["rewards"][party] - expected) <= 1

    label(made, "new-1", 120, "watch-3")
    assert settled(made, predicted(made, "new-4"))["rewards"]["budget"] == 0, "twenty rows more than paid for"
    label(made, "new-1", 160, "watch-4", right=False)
    spoilt = settled(made, predicted(made, "new-5"))
    assert spoilt["contributions"]["live"]["booking"] == "watch-4" and spoilt["rewards"]["budget"] == 0, "no gain in use"


@pytest.mark.parametrize(
    "lie",
    [
        {"value": float("nan")},
        {"value": 1.2},
        {"rows": 49},
        {"rows": -1},
        {"booking": ""},
        {"booking": "x" * 400},
        {"booking": "watch-1"},
        {"rows": 120},
    ],
    ids=str,
)
def test_what_cannot_be_paid_for_is_refused(published, monkeypatch, lie):
    made = published
    predicted(made, "new-1")
    label(made, "new-1", 100, "watch-1")
    assert settled(made, "new-1")["rewards"]["budget"] > 0
    label(made, "new-1", 180, "watch-2")
    predicted(made, "new-2")
    real = Session.send

    def send(self, name, to=None, /, **columns):
        real(self, name, to, **({**columns, **lie} if name == "live_quality" else columns))

    monkeypatch.setattr(Session, "send", send)
    nowhere = math.isnan(lie.get("value", 0)) or lie.get("rows", 0) < 0
    with pytest.raises(ForeignNumber if nowhere else BadLiveQuality) as caught:
        made.stage(settle, "new-2")
    assert caught.value.party == "clinic"


def test_without_live_terms_a_prediction_run_pays_nothing(tmp_path):
    made = evaluated(tmp_path, {"budget": 10}, {"clinic": 2, "lab": 3}, rounds=2)
    run = made.start("new-1", "predict", model="run-1")
    facts = settled(made, run)
    assert facts["contributions"] is None and facts["rewards"] is None
