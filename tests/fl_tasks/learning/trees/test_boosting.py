"""Trees in integers against XGBoost's hist method on the same bins: the same splits, hence the same margins."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from tests.fl_tasks.learning.trees.pooled import plan, xgboost_margins
from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.learning.trees.boosting import Boosting, train_pooled
from tombolo.fl_tasks.learning.trees.tree import directions, margins

LOADERS = {"logistic": load_breast_cancer, "squared": load_diabetes, "softmax": load_iris}


def example(objective, missing=0.0):
    """Codes of two parties, labels, and which rows are held out."""
    x, y = LOADERS[objective](return_X_y=True)
    x = x[:, :10]
    random = np.random.default_rng(1)
    codes = np.ones(x.shape, dtype=np.uint8)
    for column in range(x.shape[1]):
        cuts = np.unique(np.quantile(x[:, column], np.arange(1, 16) / 16))
        codes[:, column] = np.searchsorted(cuts, x[:, column]) + 1
    codes[random.random(codes.shape) < missing] = 0
    test = random.random(len(y)) < 0.25
    half = x.shape[1] // 2
    return [codes[:, :half], codes[:, half:]], y.astype(float), test


@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize("objective", ["logistic", "squared", "softmax"])
@pytest.mark.parametrize("weighted", [False, True])
def test_margins_are_xgboosts(objective, missing, weighted):
    codes, y, test = example(objective, missing)
    shape = plan(objective, classes=3, leaf_rows=2)
    weights = np.random.default_rng(2).integers(1, 4, int((~test).sum())).astype(float) if weighted else None
    model = train_pooled(shape, 20, [block[~test] for block in codes], y[~test], weights)
    left = [directions(records, block) for records, block in zip(model.records, codes, strict=True)]
    ours = margins(model.trees, model.base, left, len(y))
    theirs = xgboost_margins(shape, 20, model, codes, y, test, weights)
    assert np.abs(ours - theirs).max() < 2e-6 * max(1.0, np.abs(theirs).max())
    np.testing.assert_allclose(ours[~test], model.margins, rtol=1e-12)
    assert model.loss[-1] < 0.7 * model.loss[0]


def test_no_leaf_has_fewer_rows_than_agreed():
    codes, y, _ = example("logistic")
    model = train_pooled(plan(leaf_rows=20), 10, codes, y)
    for tree in model.trees:
        left = [directions(records, block) for records, block in zip(model.records, codes, strict=True)]
        values = margins([tree], np.zeros(1), left, len(y))[:, 0]
        assert np.unique(values, return_counts=True)[1].min() >= 20


def test_early_stopping_keeps_the_best_round():
    codes, y, _ = example("squared")
    model = train_pooled(plan("squared", leaf_rows=2, patience=3, validation_fraction=0.3), 200, codes, y)
    assert len(model.trees) == len(model.loss) - 3 < 100


def test_sampling_is_the_same_for_all_who_share_the_secret():
    codes, y, _ = example("logistic")
    shape = plan(subsample=0.5, colsample=0.4)
    one, two, other = (train_pooled(shape, 5, codes, y, common=Prf(bytes([key]) * 16)) for key in (1, 1, 2))
    assert [tree.document() for tree in one.trees] == [tree.document() for tree in two.trees]
    assert [tree.document() for tree in one.trees] != [tree.document() for tree in other.trees]
    assert len(shape.sampled_rows(np.ones(len(y), dtype=bool), Prf(bytes(16)))) == round(len(y) / 2)


def test_goss_keeps_the_largest_gradients_and_the_mass():
    _, y, _ = example("logistic")
    shape = plan(goss_top=0.2, goss_other=0.1)
    state = Boosting(shape, y, np.ones(len(y)), np.ones(len(y), dtype=bool))
    state.margins[:, 0] = np.random.default_rng(0).normal(size=len(y)) * 3
    (found,), used = state.derivatives(np.arange(len(y)), Prf(bytes(16)))
    g, h = shape.objective.derivatives(state.margins, y)
    top = np.argsort(-np.abs(g[:, 0]))[: round(0.2 * len(y))]
    assert set(top) <= set(used) and len(used) == round(0.2 * len(y)) + round(0.1 * len(y))
    assert found.h.sum() * found.units[1] == pytest.approx(h.sum(), rel=0.25)
    assert not found.g[np.setdiff1d(np.arange(len(y)), used)].any()
