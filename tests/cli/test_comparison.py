"""The plain models beside a horizontal run that went on without a client."""

from __future__ import annotations

import numpy as np
import pytest

from cli.simulation.comparison import compare
from fl_tasks.models.metrics import measure
from fl_tasks.models.reading import part_of_run
from fl_tasks.models.reference import fit_alone
from fl_tasks.stages.align import align
from fl_tasks.stages.aligned import features, label, load_aligned
from fl_tasks.stages.train import train
from fl_tasks.stages.validate import validate
from tests.fl_tasks.horizontal.hospitals import HOSPITALS, hospitals


@pytest.mark.slow
def test_a_vanished_clients_rows_are_in_the_pooled_model_alone(tmp_path):
    fed = hospitals(tmp_path, tolerance=1e-4)
    run = fed.start()
    for stage in (validate, align):
        fed.stage(stage, run)
    fed.stage(train, run, leg_end=1)
    fed.stage(train, run, [party for party in fed.parties if party != "west"])
    encoder = part_of_run(fed.place("north"), run).encoder
    x, y, test = {}, {}, {}
    for party in HOSPITALS:
        aligned = load_aligned(fed.place(party), run)
        x[party], y[party] = encoder.transform(features(fed.place(party), aligned)), label(fed.place(party), aligned)
        test[party] = aligned.test
    stayed = HOSPITALS[:3]
    held_out = np.concatenate([x[one][test[one]] for one in stayed]), np.concatenate([y[one][test[one]] for one in stayed])

    def expected(*parties: str) -> dict[str, float]:
        rows = np.concatenate([x[one][~test[one]] for one in parties]), np.concatenate([y[one][~test[one]] for one in parties])
        weights, intercept = fit_alone("horizontal-logistic", *rows, 0.01)
        return measure("binary", held_out[1], held_out[0] @ weights + intercept)

    found = compare(fed.name, {party: fed.settings(party) for party in fed.parties}, run, ["west"])
    assert list(found.models) == ["pooled", "pooled_survivors", "best_client"]
    assert found.models["pooled"] == pytest.approx(expected(*HOSPITALS))
    assert found.models["pooled_survivors"] == pytest.approx(expected(*stayed))
    assert found.models["best_client"]["auc"] == pytest.approx(max(expected(one)["auc"] for one in stayed))
    assert found.rows["test"] == len(held_out[1]) and found.rows["common"] == sum(map(len, y.values()))
