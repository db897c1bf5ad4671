"""The plain twin: what one place with everybody's columns would learn."""

from __future__ import annotations

import numpy as np

from tombolo.fl_tasks.models.reference import Floats, Pooled, Reference

from tombolo_mean_difference.protocol import MeanDifferenceParameters


def shrunk(differences: Floats, by: float) -> Floats:
    """Differences, shape (columns,), this much closer to 0, and not beyond."""
    return np.sign(differences) * np.maximum(np.abs(differences) - by, 0.0)


def totals(case: Pooled) -> Floats:
    """Scores of the held-out rows, shape (rows,)."""
    assert isinstance(case.params, MeanDifferenceParameters)
    x, label = case.whole[~case.rows.test], case.rows.labels[~case.rows.test]
    weights = shrunk(x[label == 1].mean(axis=0) - x[label == 0].mean(axis=0), case.params.shrink)
    return np.asarray(case.whole[case.rows.test] @ weights + np.log(label.mean() / (1 - label.mean())))


REFERENCE = Reference(totals)
