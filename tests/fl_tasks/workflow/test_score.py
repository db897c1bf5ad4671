"""A client scores its own new rows with the model that it holds, while everybody else is away."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.federation import FOREVER, quiet
from tests.fl_tasks.learning.horizontal.hospitals import hospitals
from tests.fl_tasks.ledger.audit.settled import named
from tests.fl_tasks.workflow.trained import settle as settle_table
from tombolo.fl_tasks.learning.linear_part import partial_scores
from tombolo.fl_tasks.models.reading import part_of_run
from tombolo.fl_tasks.models.registry import NoSuchModel
from tombolo.fl_tasks.tables.source import NoTable
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.monitor import monitor
from tombolo.fl_tasks.workflow.publish import publish
from tombolo.fl_tasks.workflow.score import NotWhole, score
from tombolo.fl_tasks.workflow.settle import settle
from tombolo.fl_tasks.workflow.train import train
from tombolo.fl_tasks.workflow.validate import validate


@pytest.fixture
def published(tmp_path):
    fed = hospitals(tmp_path, terms={"scores": ["north"]})
    run = fed.start(rounds=4)
    for stage in (validate, align, train, evaluate, publish):
        fed.stage(stage, run)
    fed.stage(settle, run)
    return fed, run


@pytest.mark.slow
def test_alone_and_as_often_as_it_likes(published):
    fed, run = published
    with pytest.raises(NoTable):
        score(fed.context("north"), "score.0", FOREVER, quiet)
    new = pq.read_table(fed.root / "north" / "table.parquet").drop_columns(["label"]).slice(0, 7)
    settle_table(fed, "north", "predict_table", new)
    for party in fed.parties:
        if party != "north":
            shutil.rmtree(fed.root / party)
    found = score(fed.context("north"), "score.1", FOREVER, quiet)
    assert (found["model"], found["rows"]) == (run, 7)
    scored = pq.read_table(found["scores"])
    assert scored.column_names == ["id", "score"] and scored.column("id").equals(new.column("id"))
    part = part_of_run(fed.context("north"), run)
    logits = partial_scores(part, part.encoder.transform(new))
    assert np.allclose(scored.column("score").to_numpy(), 1 / (1 + np.exp(-logits)))
    settle_table(fed, "north", "predict_table", new.slice(0, 2))
    assert pq.read_table(score(fed.context("north"), "score.1", FOREVER, quiet)["scores"]).equals(scored), "what was kept stands"
    assert score(fed.context("north"), "score.2", FOREVER, quiet, version=run)["rows"] == 2
    assert monitor(fed.context("north"), "watch", FOREVER, quiet)["predicted_rows"] == 9


@pytest.mark.slow
def test_it_is_in_the_record_as_the_partys_own(published):
    fed, _ = published
    settle_table(fed, "north", "predict_table", pq.read_table(fed.root / "north" / "table.parquet"))
    score(fed.context("north"), "score.1", FOREVER, quiet)
    entries = list(fed.context("north").chain.entries("score.1"))
    assert [entry.kind for entry in entries] == ["run", "prediction"]
    assert named(fed, "north") == []


def test_who_cannot_is_told_why(tmp_path):
    fed = hospitals(tmp_path)
    with pytest.raises(NotWhole):
        score(fed.context("centre"), "score.1", FOREVER, quiet)
    with pytest.raises(NoSuchModel):
        score(fed.context("north"), "score.1", FOREVER, quiet)
