"""Sums over clients give as many independent numbers as horizontal engines declare, to a recipient who knows all other values.

The sums are made by the code that clients run; what is uncovered is only their sum, so the clients' rows stand in one table.
"""

from __future__ import annotations

import numpy as np
import pytest

from tombolo.agreements.protocol import protocol_named
from tombolo.fl_tasks.learning.horizontal.newton import addends, with_intercept
from tombolo.fl_tasks.privacy.numbers import Shape

ROWS, COLUMNS, COLUMN = 160, 3, 2
CLIENTS = {"one": "client", "two": "client", "three": "client", "centre": "aggregator"}


def jacobian(function, at: np.ndarray, step: float = 1e-4) -> np.ndarray:
    """How the sums move with each row's value, shape (sums, rows)."""
    moves = np.eye(len(at)) * step
    return np.array([(function(at + move) - function(at - move)) / (2 * step) for move in moves]).T


def rank(weights: list[np.ndarray]) -> int:
    stacked = np.vstack(weights)
    lengths = np.linalg.norm(stacked, axis=1)
    real = stacked[lengths > 1e-6] / lengths[lengths > 1e-6, None]
    return int((np.linalg.svd(real, compute_uv=False) > 1e-6).sum())  # differences are right to about nine digits


@pytest.mark.parametrize(("name", "outcome", "rounds"), [("horizontal-linear", "number", 6), ("horizontal-logistic", "binary", 3)])
def test_regressions(name: str, outcome: str, rounds: int) -> None:
    random = np.random.default_rng(2)
    x = with_intercept(random.normal(size=(ROWS, COLUMNS)))
    y = x @ random.normal(size=COLUMNS + 1) + random.logistic(size=ROWS)
    y = (y > 0).astype(float) if outcome == "binary" else y
    w, labels, columns = np.zeros(COLUMNS + 1), [], []
    for _ in range(rounds):
        sums = addends(outcome, x, y, w)
        first = 2 if outcome == "number" else 1  # a squared loss is not linear in labels
        labels.append(jacobian(lambda at, w=w: addends(outcome, x, at, w), y)[first:])

        def moved(column: np.ndarray, w=w) -> np.ndarray:
            own = x.copy()
            own[:, COLUMN] = column
            return addends(outcome, own, y, w)

        columns.append(jacobian(moved, x[:, COLUMN])[1:])
        hessian = np.zeros((COLUMNS + 1, COLUMNS + 1))
        hessian[np.triu_indices(COLUMNS + 1)] = sums[2 + COLUMNS + 1 :]
        hessian = hessian + np.triu(hessian, 1).T
        w = w - np.linalg.solve(hessian, sums[2 : 3 + COLUMNS]) / 2  # half a step, so that later rounds still move
    protocol = protocol_named(name).protocol
    engine = protocol.engine(None)
    shape = Shape(CLIENTS, dict.fromkeys(("one", "two", "three"), COLUMNS), ROWS, rounds, engine.parameters())
    told = {number.about: number.numbers for number in protocol.load(str(engine.numbers))(shape)}
    assert rank(labels) == told["labels"]
    assert 0.8 * told["columns"] <= rank(columns) <= told["columns"]
    if outcome == "number":
        assert rank(columns) == told["columns"] == COLUMNS + 2
