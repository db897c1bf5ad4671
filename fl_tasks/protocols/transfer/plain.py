"""Federated transfer learning with both tables in one place: the same algorithm in floating point, without encryption.

It is for tests, and for curves over the number of common users, which take many trainings. The module also trains the models that
the target could train alone if it had the labels of the common users.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.protocols.transfer.net import PartyNet
from tombolo.fl_tasks.protocols.transfer.objective import Objective, SourceRows, mover, pretrained
from tombolo.fl_tasks.protocols.transfer.protocol import TransferParameters, TransferTerms
from tombolo.fl_tasks.protocols.transfer.stopping import settled
from tombolo.storage.roles import GUEST, HOST

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trained:
    """The weights of both nets, Phi of shape (width,), and the loss of every round."""

    source: Floats
    target: Floats
    phi: Floats
    loss: list[float]


def train(terms: TransferTerms, params: TransferParameters, source: SourceRows, target: Floats) -> Trained:
    """Train. ``target`` (common, inputs) are the inputs of the target for the common rows, in the order of ``source``."""
    objective, common = Objective.of(params), source.common
    a, b = PartyNet.of(terms, source.x.shape[1]), PartyNet.of(terms, target.shape[1])
    w_a = pretrained(a, a.initial(params.seed, GUEST), source, params, objective)
    w_b = b.initial(params.seed, HOST)
    move_a, move_b = mover(params, len(w_a)), mover(params, len(w_b))
    losses: list[float] = []
    labelled = source.labelled
    y, weight = source.y[:labelled], source.v[:labelled] / labelled
    for _ in range(params.rounds):
        u_a, u_b = a.features(w_a, source.x), b.features(w_b, target)
        phi = source.lead @ u_a
        bend = np.zeros(common)
        bend[:labelled] = weight * (-y / 2 + u_b[:labelled] @ phi / 4)
        apart = 2 * objective.gamma / common * (u_a[:common] - u_b)
        slope = np.outer(source.lead, bend @ u_b)
        slope[:common] += apart
        gradient_b = b.gradient(w_b, target, np.outer(bend, phi) - apart) + objective.decay(b, w_b)
        gradient_a = a.gradient(w_a, source.x, slope) + objective.decay(a, w_a)
        losses.append(objective.loss(source, phi, u_a[:common], u_b) + objective.penalty(a, w_a) + objective.penalty(b, w_b))
        w_a, move_a = move_a.move(w_a, gradient_a)
        w_b, move_b = move_b.move(w_b, gradient_b)
        if settled(losses, params):
            break
    return Trained(w_a, w_b, source.lead @ a.features(w_a, source.x), losses)


def self_learning(x: Floats, labels: Floats, new: Floats) -> dict[str, Floats]:
    """Scores of the ``new`` rows by a logistic regression and a support vector machine, trained on labelled rows of the target.

    ``x`` and ``new`` (rows, columns) are standardised, ``labels`` are 0 or 1. Both models have the defaults of scikit-learn.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    models = {"logistic regression": LogisticRegression(max_iter=2000), "support vector machine": SVC()}
    return {name: model.fit(x, labels).decision_function(new) for name, model in models.items()}
