"""The plain models beside a horizontal run that went on without a client."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fl_tasks.learning.horizontal.hospitals import HOSPITALS, hospitals
from tombolo.fl_tasks.learning import regression
from tombolo.fl_tasks.learning.metrics import measure
from tombolo.fl_tasks.models.reading import part_of_run
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.aligned import features, label, load_aligned
from tombolo.fl_tasks.workflow.comparison import compare
from tombolo.fl_tasks.workflow.train import train
from tombolo.fl_tasks.workflow.validate import validate


@pytest.mark.slow
def test_a_vanished_clients_rows_are_in_the_pooled_model_alone(tmp_path):
    fed = hospitals(tmp_path, tolerance=1e-4)
    run = fed.start()
    for stage in (validate, align):
        fed.stage(stage, run)
    fed.stage(train, run, leg_end=1)
    fed.stage(train, run, [party for party in fed.parties if party != "west"])
    encoder = part_of_run(fed.context("north"), run).encoder
    x, y, test = {}, {}, {}
    for party in HOSPITALS:
        aligned = load_aligned(fed.context(party), run)
        x[party], y[party] = encoder.transform(features(fed.context(party), aligned)), label(fed.context(party), aligned)
        test[party] = aligned.test
    stayed = HOSPITALS[:3]
    held_out = np.concatenate([x[one][test[one]] for one in stayed]), np.concatenate([y[one][test[one]] for one in stayed])

    def expected(*parties: str) -> dict[str, float]:
        rows = np.concatenate([x[one][~test[one]] for one in parties]), np.concatenate([y[one][~test[one]] for one in parties])
        weights, intercept = regression.logistic(*rows, 0.01)
        return measure("binary", held_out[1], held_out[0] @ weights + intercept)

    found = compare(fed.name, {party: fed.settings(party) for party in fed.parties}, run, ["west"])
    assert list(found.models) == ["pooled", "pooled_survivors", "best_client"]
    assert found.models["pooled"] == pytest.approx(expected(*HOSPITALS))
    assert found.models["pooled_survivors"] == pytest.approx(expected(*stayed))
    assert found.models["best_client"]["auc"] == pytest.approx(max(expected(one)["auc"] for one in stayed))
    assert found.rows["test"] == len(held_out[1]) and found.rows["common"] == sum(map(len, y.values()))
