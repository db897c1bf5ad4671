"""L-BFGS split over parties walks the same path as the textbook's on the whole problem, and never ends up higher."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tombolo.fl_tasks.protocols.logistic_arbiter.quasi_newton import MEMORY, ForeignDirection, Guide, Path


def problem(seed: int, columns: int, rows: int = 400, orthogonal: bool = False):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns)) @ rng.normal(size=(columns, columns))
    if orthogonal:
        x = np.linalg.qr(x)[0] * 20
    y = (x @ rng.normal(size=columns) + rng.normal(size=rows) > 0).astype(float)

    def loss(w):
        u = x @ w
        return float(np.mean(np.logaddexp(0, u) - y * u) + 5e-4 * w @ w)

    def gradient(w):
        return x.T @ (1 / (1 + np.exp(-(x @ w))) - y) / rows + 1e-3 * w

    return x, loss, gradient


def walk(x, loss, gradient, blocks, rounds):
    """All parties and the guide, without any network: (losses, best points)."""
    rows, columns = x.shape
    paths = [Path.start(len(block)) for block in blocks]
    bounds = [np.linalg.inv(len(blocks) / 4 * x[:, block].T @ x[:, block] / rows + 1e-3 * np.eye(len(block))) for block in blocks]
    guide, losses, best = Guide(), [], []
    for number in range(rounds):
        w = np.zeros(columns)
        for block, path in zip(blocks, paths, strict=True):
            w[block] = path.ahead
        whole = gradient(w)
        parts = [whole[block] for block in blocks]
        paths = [path.seen(part, number == 0) for path, part in zip(paths, parts, strict=True)]
        products = [path.products(part, bound) for path, part, bound in zip(paths, parts, bounds, strict=True)]
        assert all(len(one) == guide.products for one in products)
        guide.learn(loss(w), np.sum(products, axis=0).tolist() if products[0] else [])
        coefficients = guide.coefficients()
        paths = [
            path.moved(part, bound, guide.better, guide.keep, coefficients)
            for path, part, bound in zip(paths, parts, bounds, strict=True)
        ]
        losses.append(loss(w))
        best.append(guide.best)
        guide = Guide.of({**guide.state()})
        paths = [Path.of({**path.state()}) for path in paths]
    return losses, best, paths


@pytest.mark.parametrize("seed", range(4))
def test_it_finds_the_minimum(seed):
    from scipy.optimize import minimize

    x, loss, gradient = problem(seed, 8)
    least = minimize(loss, np.zeros(8), jac=gradient, method="BFGS", options={"gtol": 1e-10}).fun
    _, best, _ = walk(x, loss, gradient, [np.arange(3), np.arange(3, 8)], 45)
    assert best[-1] == pytest.approx(least, abs=1e-8)
    assert all(after <= before for before, after in pairwise(best))


def test_the_split_does_not_matter():
    """With orthogonal columns the parties' own preconditioners make up the whole's: one party and three look at the same points."""
    x, loss, gradient = problem(5, 6, orthogonal=True)
    three = [np.arange(2), np.arange(2, 4), np.arange(4, 6)]
    losses, _, paths = walk(x, loss, gradient, three, 12)
    bounds = np.linalg.inv(3 / 4 * x.T @ x / 400 + 1e-3 * np.eye(6))
    path, guide, alone = Path.start(6), Guide(), []
    for number in range(12):
        at, w = gradient(path.ahead), path.ahead
        path = path.seen(at, number == 0)
        guide.learn(loss(w), path.products(at, bounds))
        path = path.moved(at, bounds, guide.better, guide.keep, guide.coefficients())
        alone.append(loss(w))
    assert losses == pytest.approx(alone, abs=1e-9)
    assert np.concatenate([one.best for one in paths]) == pytest.approx(path.best, abs=1e-6)


def test_a_worse_point_is_left_again():
    x, loss, gradient = problem(2, 6)
    traps = {4, 5, 9}
    seen = []

    def trapped(w):
        seen.append(w)
        return loss(w) + (10 if len(seen) in traps else 0)

    _, best, _ = walk(x, trapped, gradient, [np.arange(6)], 30)
    assert best[-1] < best[2]
    assert max(best) == best[0]


def test_memory_is_bounded():
    x, loss, gradient = problem(3, 30)
    _, _, paths = walk(x, loss, gradient, [np.arange(10), np.arange(10, 30)], MEMORY + 8)
    assert all(len(path.steps) <= MEMORY and len(path.changes) <= MEMORY for path in paths)


@pytest.mark.parametrize("coefficients", [[], [1.0, 2.0], [float("nan")]])
def test_foreign_coefficients_are_refused(coefficients):
    path = Path.start(2)
    with pytest.raises(ForeignDirection):
        path.moved(np.ones(2), np.eye(2), True, False, np.array(coefficients))
