"""Linear and logistic regression in one place.

The loss is 1/(2n) sum (u - y)^2 + l2/2 |w|^2, or mean log-loss + l2/2 |w|^2. The intercept has no penalty.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.learning.parameters import Penalised
from tombolo.fl_tasks.models.reference import Pooled, Reference

Floats = npt.NDArray[np.float64]


def linear(x: Floats, y: Floats, l2: float) -> tuple[Floats, float]:
    """Ridge regression in closed form; by least squares on an augmented system, which stays accurate where columns repeat."""
    mean_x, mean_y = x.mean(axis=0), float(y.mean())
    rows = np.vstack([(x - mean_x) / np.sqrt(len(x)), np.sqrt(l2) * np.eye(x.shape[1])])
    target = np.concatenate([(y - mean_y) / np.sqrt(len(x)), np.zeros(x.shape[1])])
    weights = np.linalg.lstsq(rows, target, rcond=None)[0]
    return weights, mean_y - float(mean_x @ weights)


def logistic(x: Floats, y: Floats, l2: float) -> tuple[Floats, float]:
    """Logistic regression with scikit-learn, where C is 1 / (n l2)."""
    from sklearn.linear_model import LogisticRegression

    strength = 1.0 / (len(x) * l2) if l2 > 0 else np.inf
    model = LogisticRegression(C=strength, solver="newton-cholesky", tol=1e-10, max_iter=1000).fit(x, y)
    return model.coef_[0].astype(np.float64), float(model.intercept_[0])


def taylor(x: Floats, y: Floats, l2: float) -> tuple[Floats, float]:
    """The optimum of Hardy's Taylor form of the log-loss, which is a quarter of the squared distance to 4 y - 2."""
    return linear(x, 4 * y - 2, 4 * l2)


def held_out_totals(case: Pooled, fit: Callable[[Floats, Floats, float], tuple[Floats, float]]) -> Floats:
    """Scores of the held-out rows by a regression on the other rows; shape (rows,)."""
    x, rows = np.asarray(case.whole, dtype=np.float64), case.rows
    assert isinstance(case.params, Penalised)
    weights, intercept = fit(x[~rows.test], rows.labels[~rows.test], case.params.l2)
    return np.asarray(x[rows.test] @ weights + intercept, dtype=np.float64)


LINEAR = Reference(partial(held_out_totals, fit=linear), alone=linear)
LOGISTIC = Reference(partial(held_out_totals, fit=logistic), alone=logistic)
TAYLOR = Reference(partial(held_out_totals, fit=logistic), alone=taylor)
"""The run is compared with the exact logistic model. A party alone gets the optimum of the Taylor form."""
