"""The loss that federated transfer learning minimises, in the clear (Liu, Kang, Xing, Chen, Yang 2018, equations 1 to 7).

All rows of the source, with labels y of -1 and 1, give Phi = sum_j v_j y_j u_j / sum_j v_j. The score of a row of the target is
phi = Phi . u_B. There are n common rows, of which the first c are labelled. The loss is

    L = 1/c sum_i w_i l1(y_i, phi_i) + gamma/n sum_i |u_A,i - u_B,i|^2 + l2/2 (|weights_A|^2 + |weights_B|^2),

with l1(y, phi) = log 2 - y phi / 2 + phi^2 / 8, the Taylor form of log(1 + exp(-y phi)). Unlike in the paper, both sums are means,
so that gamma and l2 mean the same for any number of common rows. The class weights w and v are 1, or balance the classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.learning.nets.optimisers import Adam, Momentum
from tombolo.fl_tasks.protocols.transfer.net import PartyNet
from tombolo.fl_tasks.protocols.transfer.protocol import TransferParameters

Floats = npt.NDArray[np.float64]
_RATE = 0.01


@dataclass(frozen=True)
class SourceRows:
    """The rows of the source: ``x`` (rows, inputs), labels ``y`` of -1 and 1, class weights ``v``, both of shape (rows,).

    The first ``common`` rows are the common rows. Training uses the labels of the first ``labelled`` of them.
    """

    x: Floats
    y: Floats
    v: Floats
    common: int
    labelled: int

    @classmethod
    def of(cls, x: Floats, labels: Floats, common: int, labelled: int, balanced: bool) -> SourceRows:
        """The rows of a source with labels 0 and 1."""
        positive = labels > 0.5
        share = np.where(positive, positive.mean(), 1.0 - positive.mean())
        return cls(x, 2.0 * labels - 1.0, 0.5 / share if balanced else np.ones(len(labels)), common, labelled)

    @property
    def lead(self) -> Floats:
        """v y / sum(v), shape (rows,): Phi is the sum of u with these weights."""
        return np.asarray(self.v * self.y / self.v.sum())


@dataclass(frozen=True)
class Objective:
    """The loss of the module text, with its weights ``gamma`` and ``l2``."""

    gamma: float
    l2: float

    @classmethod
    def of(cls, params: TransferParameters) -> Objective:
        """The loss with the parameters of a run."""
        return cls(params.alignment_weight, params.l2)

    def loss(self, source: SourceRows, phi: Floats, u_a: Floats, u_b: Floats) -> float:
        """The label loss plus the alignment loss of the common rows; ``phi`` is Phi, shape (width,)."""
        y, w = source.y[: source.labelled], source.v[: source.labelled]
        score = u_b[: source.labelled] @ phi
        return float((w * (np.log(2.0) - y * score / 2 + score**2 / 8)).mean() + self.gamma * ((u_a - u_b) ** 2).sum(axis=1).mean())

    def penalty(self, party_net: PartyNet, w: Floats) -> float:
        """l2/2 |weights|^2 of one net; biases are not penalised."""
        return self.l2 / 2 * float((party_net.net.penalised() * w**2).sum())

    def decay(self, party_net: PartyNet, w: Floats) -> Floats:
        """The gradient of :meth:`penalty`."""
        return self.l2 * party_net.net.penalised() * w


def mover(params: TransferParameters, count: int, state: Mapping[str, Any] | None = None) -> Adam | Momentum:
    """The optimiser of the parameters: as it was after the round of ``state``, or new if there is no state of it."""
    rate, none = params.rate, np.zeros(count)
    if params.optimiser == "sgd":
        return Momentum(rate, 0.0, none)
    held: Mapping[str, Any] = state if state and "moves" in state else {"first": none, "second": none, "moves": 0}
    return Adam(rate, held["first"], held["second"], int(held["moves"]), beta2=0.999, tau=1e-8)


def moved(optimiser: Adam | Momentum, w: Floats, gradient: Floats) -> tuple[Floats, dict[str, Any]]:
    """The weights after a move, and the values of the optimiser to keep in the state of the round."""
    w, after = optimiser.move(w, gradient)
    return w, {} if isinstance(after, Momentum) else {"first": after.first, "second": after.second, "moves": after.moves}


def pretrained(party_net: PartyNet, w: Floats, source: SourceRows, params: TransferParameters, objective: Objective) -> Floats:
    """The weights of the source after ``pretraining`` steps on the mean of v log(1 + exp(-y Phi . u_A)). Nothing is sent."""
    move = Adam(_RATE, np.zeros(len(w)), np.zeros(len(w)), beta2=0.999, tau=1e-8)
    for _ in range(params.pretraining):
        u = party_net.features(w, source.x)
        phi = source.lead @ u
        bend = -source.v * source.y / (1.0 + np.exp(source.y * (u @ phi))) / source.v.sum()
        slope = np.outer(bend, phi) + np.outer(source.lead, bend @ u)
        w, move = move.move(w, party_net.gradient(w, source.x, slope) + objective.decay(party_net, w))
    return w
