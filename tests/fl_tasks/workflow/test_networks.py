"""A network from invitation to prediction: several classes, also where a client has few of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.fl_tasks.learning.horizontal.hospitals import HOSPITALS, networks
from tests.rounded import rounded
from tombolo.fl_tasks.learning.links import softmax
from tombolo.fl_tasks.learning.metrics import measure
from tombolo.fl_tasks.models.reading import part_of_run
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.aligned import features, label, load_aligned
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.predict import predict
from tombolo.fl_tasks.workflow.publish import publish
from tombolo.fl_tasks.workflow.settle import settle
from tombolo.fl_tasks.workflow.train import train
from tombolo.fl_tasks.workflow.validate import validate


def held_out(fed, run, parties=HOSPITALS):
    """Labels of all held-out rows, and what every client's own part says of its own."""
    y, totals = [], []
    for party in parties:
        context = fed.context(party)
        aligned = load_aligned(context, run)
        y.append(label(context, aligned)[aligned.test])
        part = part_of_run(context, run)
        totals.append(part.totals(part.encoder.transform(features(context, aligned).filter(aligned.test))))
    return np.concatenate(y), np.concatenate(totals)


@pytest.mark.slow
def test_a_whole_run(tmp_path):
    fed = networks(tmp_path, rounds=6, local_epochs=3)
    north = tmp_path / "north" / "table.parquet"
    table = pq.read_table(north)
    pq.write_table(table.filter(pc.not_equal(table.column("label"), 2)), north)  # a hospital without the third class
    run = fed.start()
    for stage in (validate, align):
        fed.stage(stage, run)
    assert not fed.stage(train, run, leg_end=2)["north"]["finished"]
    trained = fed.stage(train, run)
    assert all(one["finished"] and one["round"] == 6 and one["loss"][-1] < one["loss"][0] for one in trained.values())
    parts = [fed.context(party).run_area(run).get("model") for party in HOSPITALS]
    assert all(part == parts[0] for part in parts)
    evaluated = fed.stage(evaluate, run)
    y, totals = held_out(fed, run)
    for found in evaluated.values():
        assert found["rows"] == len(y)
        assert found["metrics"] == rounded(measure("classes", y, totals), len(y))
    assert evaluated["north"]["metrics"]["accuracy"] > np.bincount(y.astype(int)).max() / len(y)
    fed.stage(publish, run)
    settled = fed.stage(settle, run)
    assert {one["unmatched"] for one in settled.values()} == {0}
    card = next((tmp_path / "north").rglob("model-card.md")).read_text()
    assert "A network of dense layers" in card
    assert "Privacy of training rows" not in card
    for party in HOSPITALS:
        new = pq.read_table(tmp_path / party / "table.parquet").drop_columns(["label"]).slice(0, 5)
        pq.write_table(new, tmp_path / party / "new.parquet")
        settings = fed.settings(party)
        text = settings.read_text()
        named = "trial:\n    predict_table: {source: parquet, path: new.parquet}\n    table:"
        settings.write_text(text.replace("trial:\n    table:", named))
    fed.start("new-1", "predict", run)
    for stage in (validate, align):
        fed.stage(stage, "new-1")
    made = fed.stage(predict, "new-1")
    for party in HOSPITALS:
        scores = pq.read_table(made[party]["scores"])
        own = pq.read_table(tmp_path / party / "new.parquet").select(["age", "dose", "ward"])
        part = part_of_run(fed.context(party), run)
        outputs = part.totals(part.encoder.transform(own))
        assert sorted(scores.column("score").to_pylist()) == pytest.approx(sorted(softmax(outputs).max(axis=1)))
        assert sorted(scores.column("class").to_pylist()) == sorted(outputs.argmax(axis=1))


@pytest.mark.slow
def test_a_client_vanishes_and_another_comes_back(tmp_path):
    """South misses the second round and is back; west is never seen again after the third. The others finish, and settle."""
    fed = networks(tmp_path, rounds=5)
    run = fed.start()
    for stage in (validate, align):
        fed.stage(stage, run)
    fed.stage(train, run, leg_end=1)
    fed.stage(train, run, [party for party in fed.parties if party != "south"], leg_end=2)
    fed.stage(train, run, leg_end=3)
    others = [party for party in fed.parties if party != "west"]
    assert all(one["finished"] for one in fed.stage(train, run, others).values())
    found = fed.stage(evaluate, run, others)
    y, totals = held_out(fed, run, HOSPITALS[:3])
    assert found["east"]["metrics"] == rounded(measure("classes", y, totals), len(y))


@pytest.mark.parametrize("wrong", [3, -1])
def test_a_class_that_there_is_not_is_refused(tmp_path, wrong):
    fed = networks(tmp_path)
    path = tmp_path / "north" / "table.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(4, "label", pa.array([wrong, *[0] * (table.num_rows - 1)])), path)
    run = fed.start()
    with pytest.raises(Exception) as caught:
        fed.stage(validate, run, ["north"])
    assert caught.value.code == "TMB-TABLE-012"
