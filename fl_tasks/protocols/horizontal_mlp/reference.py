"""The same network trained on the rows of all clients in one place: same layers, first weights, descent and number of epochs."""

from __future__ import annotations

from dataclasses import replace

from tombolo.fl_tasks.learning.nets.training import Sample, Training
from tombolo.fl_tasks.learning.parameters import Averaged
from tombolo.fl_tasks.learning.terms import NetworkTerms
from tombolo.fl_tasks.models.reference import Floats, Pooled, Reference


def _totals(case: Pooled) -> Floats:
    """Scores of the test rows by a network trained without averaging, noise or validation rows."""
    assert isinstance(case.params, Averaged)
    x, rows = case.whole, case.rows
    training = Training.of(case.task.section(NetworkTerms), case.params, x.shape[1])
    train = ~rows.test
    y = rows.labels[train]
    mean, scale = (float(y.mean()), float(y.std()) or 1.0) if training.outcome == "number" else (0.0, 1.0)
    alone = replace(training, proximal=0.0, epochs=case.rounds * training.epochs)
    sample = Sample(x[train], (y - mean) / scale)
    w = alone.descended(alone.initial(), sample, alone.orders(len(sample), "pooled"))
    outputs = alone.net.outputs(w, x[rows.test]) * scale + mean
    return outputs if outputs.shape[1] > 1 else outputs[:, 0]


REFERENCE = Reference(_totals)
