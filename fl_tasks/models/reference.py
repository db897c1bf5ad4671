"""The plain models that a federated one is compared with: pooled (all columns at one place) and the guest's columns alone.

They minimise the same objective on the same rows in the same encoding: 1/(2n) sum (u - y)^2 + l2/2 |w|^2 for linear models and
mean log-loss + l2/2 |w|^2 for logistic ones, intercept unpenalised (scikit-learn's C is 1/(n l2)). Possible only where one machine
has everybody's tables: in simulations, demos and acceptance runs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fl_tasks.models.metrics import measure

Floats = npt.NDArray[np.float64]


def reference_metrics(protocol: str, features: Floats, labels: Floats, test: npt.NDArray[np.bool_], l2: float) -> dict[str, float]:
    """Train on the rows that are not ``test`` and measure on those that are; shapes (n, d), (n,), (n,)."""
    fit = _linear if protocol == "linear" else _logistic
    weights, intercept = fit(features[~test], labels[~test], l2)
    return measure(protocol, labels[test], features[test] @ weights + intercept)


def fit_alone(protocol: str, x: Floats, y: Floats, l2: float) -> tuple[Floats, float]:
    """Weights (d,) and intercept of a protocol's optimum if one party had all columns (of the Taylor form too)."""
    if protocol == "logistic-taylor":  # 1/4 of the squared distance to 4 y - 2
        return _linear(x, 4 * y - 2, 4 * l2)
    return (_linear if protocol == "linear" else _logistic)(x, y, l2)


def _linear(x: Floats, y: Floats, l2: float) -> tuple[Floats, float]:
    """Ridge regression in closed form; by least squares on an augmented system, which stays accurate where columns repeat."""
    mean_x, mean_y = x.mean(axis=0), float(y.mean())
    rows = np.vstack([(x - mean_x) / np.sqrt(len(x)), np.sqrt(l2) * np.eye(x.shape[1])])
    target = np.concatenate([(y - mean_y) / np.sqrt(len(x)), np.zeros(x.shape[1])])
    weights = np.linalg.lstsq(rows, target, rcond=None)[0]
    return weights, mean_y - float(mean_x @ weights)


def _logistic(x: Floats, y: Floats, l2: float) -> tuple[Floats, float]:
    from sklearn.linear_model import LogisticRegression

    strength = 1.0 / (len(x) * l2) if l2 > 0 else np.inf
    model = LogisticRegression(C=strength, solver="newton-cholesky", tol=1e-10, max_iter=1000).fit(x, y)
    return model.coef_[0].astype(np.float64), float(model.intercept_[0])
