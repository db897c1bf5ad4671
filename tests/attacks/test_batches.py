"""What a host learns of labels from the batches of a run: no new equations in a new round."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from tests.fl_tasks.protocols.linear.test_programs import data, layout, train
from tombolo.fl_tasks.learning.vertical.quadratic import EncryptedParty

ROWS, BATCH, ROUNDS, OWN = 300, 70, 14, 3


@pytest.mark.parametrize("protocol", ["linear", "logistic-taylor"])
def test_batches_are_the_same_in_every_pass(tmp_path, monkeypatch, protocol):
    """The rank of all equations about labels that a host gets is that of one pass over the batches."""
    x, y = data(ROWS)
    y = (y > np.median(y)).astype(float) if protocol == "logistic-taylor" else (y - y.mean()) / y.std()
    program = import_module(f"tombolo.fl_tasks.protocols.{protocol.replace('-', '_')}.programs")
    seen, real = [], EncryptedParty.gradient

    def gradient(self, part, rows):
        if self._session.me == "lab":
            seen.append(rows)
        return real(self, part, rows)

    monkeypatch.setattr(EncryptedParty, "gradient", gradient)
    fed = layout(tmp_path, protocol, hosts=1, batch_rows=BATCH, step=0.1)
    states = train(fed, program, x, y, fed.start(rounds=ROUNDS))
    assert states["lab"]["round"] == len(seen) == ROUNDS
    equations = np.zeros((ROUNDS, OWN, ROWS))
    for number, rows in enumerate(seen):
        equations[number][:, rows] = x[rows, OWN:].T
    passes = ROWS // BATCH
    assert np.linalg.matrix_rank(equations.reshape(-1, ROWS)) == passes * OWN
    assert sorted(np.concatenate(seen[:passes])) == list(range(ROWS))
    assert all(np.array_equal(rows, seen[number % passes]) for number, rows in enumerate(seen))
