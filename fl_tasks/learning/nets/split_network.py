"""Networks with first layers at every party: units over its own columns. Sums of all units go into common layers.

    u_k = act(x_k V_k + c_k) at every host k;   z = sum_k u_k W_k + act(x V + c) W + b;   outputs = top(act(z))

The guest computes z and the outputs. :class:`SplitNetwork` is the whole network in one place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.learning.nets.dense import Dense
from tombolo.fl_tasks.learning.nets.losses import losses, slopes
from tombolo.fl_tasks.learning.terms import NetworkTerms

Floats = npt.NDArray[np.float64]


def activated(activation: str, sums: Floats) -> Floats:
    """A layer's units from its sums."""
    return np.maximum(sums, 0.0) if activation == "relu" else np.tanh(sums)


def bends(activation: str, units: Floats) -> Floats:
    """The units' derivatives by their sums."""
    return (units > 0).astype(np.float64) if activation == "relu" else 1.0 - units**2


def host_net(network: NetworkTerms, columns: int) -> Dense:
    """A host's layer; its outputs are the sums of its units."""
    assert network.bottom is not None
    return Dense((columns, network.bottom), network.activation)


@dataclass(frozen=True)
class GuestNet:
    """The guest's layers: ``bottom`` from its columns to its addend of the joint sums, ``top`` from joint units to outputs.

    Their weights are one vector, those of ``bottom`` first.
    """

    bottom: Dense
    top: Dense
    activation: str

    @classmethod
    def of(cls, network: NetworkTerms, columns: int) -> GuestNet:
        """The guest's layers over ``columns`` encoded columns."""
        assert network.bottom is not None
        outputs = network.classes if network.outcome == "classes" else 1
        bottom = Dense((columns, network.bottom, network.hidden[0]), network.activation)
        return cls(bottom, Dense((*network.hidden, outputs), network.activation), network.activation)

    def outputs(self, w: Floats, x: Floats, sums: Floats) -> Floats:
        """The outputs for rows ``x``; ``sums`` are the hosts' addends of the joint sums."""
        lower, upper = w[: self.bottom.count], w[self.bottom.count :]
        return self.top.outputs(upper, activated(self.activation, self.bottom.outputs(lower, x) + sums))

    def backward(self, w: Floats, x: Floats, sums: Floats, y: Floats, outcome: str) -> tuple[Floats, Floats, Floats]:
        """Rows' losses (n,), the gradient of their sum (count,), and rows' derivatives by the joint sums (n, sums)."""
        lower, upper = w[: self.bottom.count], w[self.bottom.count :]
        below = self.bottom.forward(lower, x)
        units = activated(self.activation, below[-1] + sums)
        above = self.top.forward(upper, units)
        gradient, by_units = self.top.backward(upper, above, slopes(outcome, above[-1], y))
        delta = by_units * bends(self.activation, units)
        return losses(outcome, above[-1], y), np.concatenate([self.bottom.backward(lower, below, delta)[0], gradient]), delta


class SplitNetwork:
    """The whole network. ``w`` are the guest's weights, ``hosts`` each host's own, ``between`` its W of shape (units, sums)."""

    def __init__(
        self, network: NetworkTerms, x: Mapping[str, Floats], guest: str, w: Floats, hosts: Mapping[str, Floats], between: Any
    ) -> None:
        self._guest, self._outcome, self._activation = guest, network.outcome, network.activation
        self._guest_net = GuestNet.of(network, x[guest].shape[1])
        self._nets = {party: host_net(network, x[party].shape[1]) for party in hosts}
        self.w, self.hosts = w.copy(), {party: weights.copy() for party, weights in hosts.items()}
        self.between: dict[str, Floats] = {party: np.array(between[party], np.float64) for party in hosts}

    def outputs(self, x: Mapping[str, Floats]) -> Floats:
        """The outputs for rows, whose columns are given by party; shape (n, outputs)."""
        return self._guest_net.outputs(self.w, x[self._guest], self._sums(self._units(x), x))

    def descend(
        self, x: Mapping[str, Floats], y: Floats, batches: Sequence[npt.NDArray[Any]], rounds: int, step: float, momentum: float
    ) -> list[float]:
        """Descend with momentum through the batches, ``rounds`` times; returns the mean loss of each round, before the moves."""
        weights = [self.w, *self.hosts.values(), *self.between.values()]
        velocities, means = [np.zeros_like(weight) for weight in weights], []
        for _ in range(rounds):
            total = 0.0
            for rows in batches:
                lost, gradients = self._gradients({party: columns[rows] for party, columns in x.items()}, y[rows])
                total += lost
                for weight, velocity, gradient in zip(weights, velocities, gradients, strict=True):
                    velocity[:] = momentum * velocity - step / len(rows) * gradient
                    weight += velocity
            means.append(total / len(y))
        return means

    def _units(self, x: Mapping[str, Floats]) -> dict[str, Floats]:
        return {party: activated(self._activation, net.outputs(self.hosts[party], x[party])) for party, net in self._nets.items()}

    def _sums(self, units: Mapping[str, Floats], x: Mapping[str, Floats]) -> Floats:
        start = np.zeros((len(x[self._guest]), self._guest_net.top.sizes[0]))
        return np.asarray(sum((active @ self.between[party] for party, active in units.items()), start))

    def _gradients(self, x: Mapping[str, Floats], y: Floats) -> tuple[float, list[Floats]]:
        """The sum of the rows' losses, and its derivatives in the order of the weights."""
        units = self._units(x)
        lost, gradient, delta = self._guest_net.backward(self.w, x[self._guest], self._sums(units, x), y, self._outcome)
        gradients = [gradient]
        for party, net in self._nets.items():
            back = delta @ self.between[party].T * bends(self._activation, units[party])
            gradients.append(net.backward(self.hosts[party], [x[party]], back)[0])
        return float(lost.sum()), [*gradients, *(active.T @ delta for active in units.values())]
