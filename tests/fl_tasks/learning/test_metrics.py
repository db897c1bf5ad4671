"""Metrics equal scikit-learn's on random scores, ties included."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error, r2_score, roc_auc_score, roc_curve

from tombolo.fl_tasks.learning.links import sigmoid
from tombolo.fl_tasks.learning.metrics import Histogram, UnfitForMetrics, classification, measure, presented, regression

LOGITS = arrays(np.float64, st.integers(2, 60), elements=st.sampled_from([-3.0, -0.5, 0.25, 0.5, 2.0]) | st.floats(-12, 12))


@pytest.mark.filterwarnings("ignore:ks_2samp:RuntimeWarning")  # about its p-value, which is not looked at
@given(LOGITS, st.randoms(use_true_random=False))
def test_classification_equals_scikit_learn(logits, random):
    labels = np.array([0, 1] + [random.randint(0, 1) for _ in logits[2:]])
    found = classification(labels, logits)
    assert found["auc"] == pytest.approx(roc_auc_score(labels, logits), abs=1e-12)
    false_rate, true_rate, _ = roc_curve(labels, logits, drop_intermediate=False)
    assert found["ks"] == pytest.approx((true_rate - false_rate).max(), abs=1e-12)
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, logits > 0))
    assert found["logloss"] == pytest.approx(log_loss(labels, sigmoid(logits), labels=[0, 1]), rel=1e-6)


@given(arrays(np.float64, (30, 2), elements=st.floats(-1e3, 1e3, width=32)))
def test_regression_equals_scikit_learn(columns):
    y, p = columns.T
    if np.ptp(y) < 1e-3:
        return
    found = regression(y, p)
    assert found["rmse"] == pytest.approx(np.sqrt(mean_squared_error(y, p)))
    assert found["r2"] == pytest.approx(r2_score(y, p))


def test_a_perfect_and_a_reversed_ranking():
    labels, logits = np.array([0, 0, 1, 1]), np.array([-2.0, -1.0, 1.0, 2.0])
    assert measure("binary", labels, logits)["auc"] == 1.0
    assert measure("binary", labels, -logits)["auc"] == 0.0
    assert measure("binary", labels, -logits)["ks"] == 0.0


@pytest.mark.parametrize("labels", [[0, 0], [1, 1], []])
def test_a_single_class_is_refused(labels):
    with pytest.raises(UnfitForMetrics):
        classification(np.array(labels), np.zeros(len(labels)))


def test_constant_labels_are_refused():
    with pytest.raises(UnfitForMetrics):
        regression(np.ones(5), np.zeros(5))


def test_sigmoid_does_not_overflow():
    assert sigmoid([-1e4, 0.0, 1e4]).tolist() == [0.0, 0.5, 1.0]


def test_stability_is_near_zero_for_the_same_scores_and_large_for_shifted_ones():
    rng = np.random.default_rng(5)
    reference = Histogram.of(rng.normal(size=4000))
    assert sum(reference.shares) == pytest.approx(1.0)
    assert reference.stability(rng.normal(size=4000)) < 0.02
    assert reference.stability(rng.normal(size=4000) + 1) > 0.25
    assert Histogram.from_document(reference.document()) == reference


def test_a_histogram_of_equal_scores_has_few_bins():
    reference = Histogram.of(np.ones(50))
    assert len(reference.shares) == len(reference.edges) + 1
    assert reference.stability(np.ones(10)) == pytest.approx(0.0)


def test_several_classes_equal_scikit_learn():
    rng = np.random.default_rng(2)
    labels, margins = rng.integers(0, 4, 200), 3 * rng.normal(size=(200, 4))
    found = measure("classes", labels, margins)
    powers = np.exp(margins)
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    assert found["accuracy"] == accuracy_score(labels, margins.argmax(axis=1))
    assert found["logloss"] == pytest.approx(log_loss(labels, probabilities, labels=[0, 1, 2, 3]), rel=1e-9)
    assert presented("classes", margins) == pytest.approx(probabilities.max(axis=1))
    with pytest.raises(UnfitForMetrics):
        measure("classes", [], np.zeros((0, 4)))
