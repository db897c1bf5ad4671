"""A transfer agreement from invitation to prediction: what each stage keeps, and who gets which scores."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.fl_tasks.protocols.transfer.clinics import layout, tables
from tests.fl_tasks.workflow.trained import settle as point
from tests.rounded import rounded
from tombolo.fl_tasks.crypto.paillier import MIN_BITS
from tombolo.fl_tasks.learning.links import sigmoid
from tombolo.fl_tasks.learning.metrics import classification
from tombolo.fl_tasks.models.reading import part_of_run
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.aligned import features, label, load_aligned, with_own
from tombolo.fl_tasks.workflow.comparison import compare
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.join import invite
from tombolo.fl_tasks.workflow.predict import predict
from tombolo.fl_tasks.workflow.publish import publish
from tombolo.fl_tasks.workflow.settle import settle
from tombolo.fl_tasks.workflow.train import train
from tombolo.fl_tasks.workflow.validate import validate

ROOT = Path(__file__).resolve().parents[4]


def scores_of(fed, run, table):
    """Phi from the hospital's part, and what the practice's part tells of these rows."""
    parts = {party: part_of_run(fed.context(party), run) for party in fed.parties}
    assert parts["practice"].phi is None
    return parts["practice"].features(parts["practice"].encoder.transform(table)) @ parts["hospital"].phi


def test_a_whole_run(tmp_path):
    fed = layout(tmp_path, terms={"components": 2, "width": 2}, test_fraction=0.3, rounds=2, key_bits=MIN_BITS)
    run = fed.start()
    fed.stage(validate, run)
    aligned = fed.stage(align, run)
    assert {one["rows"] for one in aligned.values()} == {80}
    context = fed.context("hospital")
    shared = load_aligned(context, run)
    own = with_own(context, run, shared)
    assert own.table.num_rows == 160
    assert not own.test[80:].any()
    assert own.ids[:80] == shared.ids
    assert not set(own.ids[80:]) & set(shared.ids)
    assert not fed.stage(train, run, leg_end=1)["hospital"]["finished"]
    result = fed.stage(train, run)
    assert all(one["finished"] and one["round"] == 2 for one in result.values())
    assert result["practice"]["loss"] == []
    evaluated = fed.stage(evaluate, run)
    held_out = load_aligned(fed.context("practice"), run)
    totals = scores_of(fed, run, features(fed.context("practice"), held_out).filter(held_out.test))
    expected = classification(label(context, shared)[shared.test], totals)
    for found in evaluated.values():
        assert found["metrics"] == rounded(expected, int(shared.test.sum()), 1e-5)
        assert found["rows"] == shared.test.sum()
    compared = compare("trial", {party: fed.settings(party) for party in fed.parties}, run)
    assert compared.margins < 1e-5
    assert compared.models["federated"] == pytest.approx(expected, abs=1e-5)
    assert compared.models["pooled"]["auc"] == pytest.approx(expected["auc"], abs=1e-4)
    assert 0 < compared.models["self_learning"]["auc"] <= 1
    fed.stage(publish, run)
    assert {one["unmatched"] for one in fed.stage(settle, run).values()} == {0}
    card = next((tmp_path / "practice").rglob("model-card.md")).read_text()
    assert "federated transfer learning" in card


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["hospital", "practice"])
def test_kill_9_in_the_second_round(tmp_path, victim):
    """Processes of their own, one killed and begun anew: scores are those of the plain form."""
    fed = layout(tmp_path, key_bits=MIN_BITS)
    invite(fed.context("hospital"), "run-1", "train", {})

    def start(party: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tombolo.cli.simulation.party", str(fed.settings(party)), "trial", "run-1"]
        with open(tmp_path / f"{party}.log", "ab") as log:
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, cwd=ROOT)

    processes = {party: start(party) for party in fed.parties}
    try:
        deadline = time.monotonic() + 200
        while not list((tmp_path / victim / "store").glob("to-*/trial/run-1/000002/*/*")):
            assert time.monotonic() < deadline and processes[victim].poll() is None
            time.sleep(0.01)
        os.kill(processes[victim].pid, signal.SIGKILL)
        assert processes[victim].wait() == -signal.SIGKILL
        processes[victim] = start(victim)
        assert {party: process.wait(200) for party, process in processes.items()} == dict.fromkeys(fed.parties, 0)
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    assert compare("trial", {party: fed.settings(party) for party in fed.parties}, "run-1").margins < 1e-5


def test_the_practice_scores_its_own_patients_and_the_hospital_needs_no_table(tmp_path):
    fed = layout(tmp_path)
    run = fed.start()
    for stage in (validate, align, train, evaluate, publish):
        fed.stage(stage, run)
    new = tables(seed=9)["practice"].slice(100, 15)
    new = new.set_column(0, "id", pa.array([f"new-{index}" for index in range(15)]))
    point(fed, "practice", "predict_table", new)
    fed.start("new-1", "predict", run)
    checked = fed.stage(validate, "new-1")
    assert checked["hospital"] == {}
    fed.stage(align, "new-1")
    made = fed.stage(predict, "new-1")
    assert made["hospital"]["scores"] is None
    found = pq.read_table(made["practice"]["scores"])
    assert found.column("id").to_pylist() == new.column("id").to_pylist()
    totals = scores_of(fed, run, new.drop_columns(["id"]))
    assert np.allclose(found.column("score").to_numpy(), sigmoid(totals), atol=1e-5)
    assert {one["unmatched"] for one in fed.stage(settle, "new-1").values()} == {0}
