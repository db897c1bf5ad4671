"""Honest parties with paper and pencil: what several runs, their metrics and their scores tell together, on the real stages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.federation import Federation, federation
from tests.fl_tasks.workflow.test_align import settle, withhold
from tests.fl_tasks.workflow.test_pipeline import pipeline, tables
from tombolo.fl_tasks.learning.vertical.key_holder import MaskedGradient
from tombolo.fl_tasks.models import registry
from tombolo.fl_tasks.privacy.odometer import Spent
from tombolo.fl_tasks.runtime.waiting import PeerAborted
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.aligned import label, load_aligned
from tombolo.fl_tasks.workflow.predict import predict
from tombolo.fl_tasks.workflow.train import train
from tombolo.fl_tasks.workflow.validate import validate

SMALL = {"minimum_batch": 60, "maximum_leverage": 0.5, "minimum_row_difference": 40}
PENALTIES = {"default": 0.01, "min": 0.0001, "max": 10.0}
AT_DEFAULT = {**SMALL, "exposure": 1, "row_bits": 10_000}


def rows_of(fed: Federation, run: str, party: str = "lab") -> tuple[set[str], set[str]]:
    """The training and the held-out ids of a run, as the host knows them."""
    found = load_aligned(fed.context(party), run)
    ids = np.array([one.casefold() for one in found.ids])
    return set(ids[~found.test]), set(ids[found.test])


def test_leaving_out_one_held_out_person_tells_nothing(tmp_path):
    """The host leaves out one person after the other; the sets stay, so the metrics do, digit for digit."""
    fed = federation(tmp_path, tables(), limits=SMALL)
    first = pipeline(fed, fed.start(rounds=3))["lab"]["metrics"]
    learnt, held_out = rows_of(fed, "run-1")
    for number, victim in enumerate(sorted(held_out)[:2], start=2):
        withhold(fed, "lab", [victim])
        again = pipeline(fed, fed.start(f"run-{number}", rounds=3))["lab"]["metrics"]
        assert rows_of(fed, f"run-{number}") == (learnt, held_out)
        assert again == first


def test_a_tracker_over_sets_gets_one_set(tmp_path):
    """S+T1, S+T2, S+T1+T2, S-x: whatever a host withholds within the pool, every run has the same rows."""
    fed = federation(tmp_path, tables(), limits=SMALL)
    fed.start()
    fed.stage(validate, "run-1"), fed.stage(align, "run-1")
    learnt, held_out = rows_of(fed, "run-1")
    names = sorted(learnt)
    for number, out in enumerate((names[:45], names[45:90], names[:1]), start=2):
        withhold(fed, "lab", out)
        run = fed.start(f"run-{number}")
        fed.stage(validate, run), fed.stage(align, run)
        assert rows_of(fed, run) == (learnt, held_out)


@pytest.fixture
def gradients(monkeypatch):
    """What each host gets in the clear, by run and round."""
    seen: dict[tuple[str, int], np.ndarray] = {}
    real = MaskedGradient.receive

    def receive(self: Any) -> Any:
        sums = real(self)
        if self._session.role == "host":
            seen[self._session.run, self._session.round] = sums
        return sums

    monkeypatch.setattr(MaskedGradient, "receive", receive)
    return seen


def test_changed_labels_and_values_of_a_few_tell_nothing(tmp_path, gradients):
    """Three labels change at the guest, one value at the host: the host's first gradient is the same to the last bit."""
    given = tables()
    fed = federation(tmp_path, given, limits=SMALL)
    for run in ("run-1", "run-2"):
        fed.start(run, rounds=2)
        fed.stage(validate, run), fed.stage(align, run), fed.stage(train, run)
        labels = given["clinic"].column("label").to_pylist()
        changed = given["clinic"].set_column(4, "label", pa.array([1 - one if at < 3 else one for at, one in enumerate(labels)]))
        pq.write_table(changed, tmp_path / "clinic" / "table.parquet")
        values = np.array(given["lab"].column("lab_1").to_pylist())
        values[0] += 2.0**-8
        pq.write_table(given["lab"].set_column(2, "lab_1", pa.array(values)), tmp_path / "lab" / "table.parquet")
    assert len(gradients["run-1", 1]) == 3 and np.abs(gradients["run-1", 1]).max() > 0
    assert np.array_equal(gradients["run-1", 1], gradients["run-2", 1])


def test_many_changed_labels_are_one_sum_over_all_of_them(tmp_path, gradients):
    """Enough labels change: the host learns the difference, which is a sum over them all, and no smaller one."""
    given = tables()
    fed = federation(tmp_path, given, limits=SMALL, parameters={"test_fraction": 0})
    kept: dict[str, np.ndarray] = {}
    for run in ("run-1", "run-2"):
        fed.start(run, rounds=2)
        fed.stage(validate, run), fed.stage(align, run), fed.stage(train, run)
        kept[run] = label(fed.context("clinic"), load_aligned(fed.context("clinic"), run))
        labels = given["clinic"].column("label").to_pylist()
        changed = given["clinic"].set_column(4, "label", pa.array([1 - one if at < 80 else one for at, one in enumerate(labels)]))
        pq.write_table(changed, tmp_path / "clinic" / "table.parquet")
    assert (kept["run-1"] != kept["run-2"]).sum() >= 40
    assert not np.array_equal(gradients["run-1", 1], gradients["run-2", 1])


def test_small_tables_are_refused_before_the_first_round(tmp_path, gradients):
    """260 rows allow one number about labels; the host has three columns. Nothing was sent, and the others hear why."""
    fed = federation(tmp_path, tables(), limits=AT_DEFAULT)
    run = fed.start(rounds=3)
    fed.stage(validate, run), fed.stage(align, run)
    with pytest.raises((Spent, PeerAborted)) as caught:
        fed.stage(train, run)
    text = str(caught.value)
    assert "TMB-PRIV-001" in text and "numbers" in text and "limits.exposure" in text
    assert not gradients
    assert not [reading for reading in fed.context("clinic").odometer.readings() if reading.meter == "numbers"]


def test_equal_runs_cost_once_and_others_are_added_up(tmp_path):
    fed = federation(tmp_path, tables(), limits={**AT_DEFAULT, "exposure": 12}, parameters={"l2": PENALTIES})
    pipeline(fed, fed.start(rounds=3, l2=0.01))
    spent = paid(fed)
    assert spent["numbers"] > 0 and spent["metric"] == 4 * 13
    pipeline(fed, fed.start("run-2", rounds=3, l2=0.01))
    assert paid(fed) == spent
    refused = None
    for number in range(3, 30):  # other parameters give another model, and other metrics
        try:
            pipeline(fed, fed.start(f"run-{number}", rounds=3 + number % 2, l2=0.01 * number))
        except (Spent, PeerAborted) as error:
            refused = str(error)
            break
        assert paid(fed)["metric"] > spent["metric"]
    assert refused is not None and "Most was used by run run-" in refused


def paid(fed: Federation) -> dict[str, float]:
    """What the guest has released to the host on the meters with limits."""
    found: dict[str, float] = {}
    for reading in fed.context("clinic").odometer.readings():
        if reading.recipient == "lab" and reading.meter in ("numbers", "metric"):
            found[reading.meter] = found.get(reading.meter, 0) + reading.amount
    return found


def test_scores_of_one_person_are_counted_over_predictions(tmp_path):
    """The guest sends one person's changed values again and again, and would solve the host's columns from the scores."""
    given = tables()
    fed = federation(tmp_path, given, limits={**SMALL, "row_bits": 150})
    run = fed.start(rounds=2)
    pipeline(fed, run)
    for party in fed.data_parties:
        folder = tmp_path / party
        pq.write_table(given[party], folder / "new.parquet")
        settle(fed, party, predict_table={"source": "parquet", "path": "new.parquet"})
    with pytest.raises((Spent, PeerAborted), match="TMB-PRIV-001"):
        for number in range(1, 9):
            values = np.array(given["lab"].column("lab_0").to_pylist()) + number
            pq.write_table(given["lab"].set_column(1, "lab_0", pa.array(values)), tmp_path / "lab" / "new.parquet")
            run = fed.start(f"predict-{number}", "predict", model=latest(fed))
            fed.stage(validate, run), fed.stage(align, run), fed.stage(predict, run)


def latest(fed: Federation) -> str:
    return str(registry.load(fed.context("clinic"), None)["version"])
