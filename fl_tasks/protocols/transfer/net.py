"""The feature net of a party: dense layers, then tanh. It turns each row into numbers between -1 and 1."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.learning.nets.dense import Dense
from tombolo.fl_tasks.protocols.transfer.protocol import TransferTerms

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PartyNet:
    """The net u = tanh(net(x)) of one party; x has shape (n, inputs), u has shape (n, width)."""

    net: Dense

    @classmethod
    def of(cls, terms: TransferTerms, inputs: int) -> PartyNet:
        """The net of the terms for this number of inputs."""
        return cls(Dense((inputs, *terms.hidden, terms.width), "tanh"))

    @property
    def width(self) -> int:
        """How many numbers the net gives per row."""
        return self.net.sizes[-1]

    def initial(self, seed: object, role: str) -> Floats:
        """The first weights, shape (count,), from the seed of the run; each role has others."""
        return self.net.initial(Prf(hashlib.sha256(f"tombolo transfer/1\0{seed}".encode()).digest()).stream(role))

    def features(self, w: Floats, x: Floats) -> Floats:
        """The features u of the rows ``x``, shape (n, width)."""
        return np.tanh(self.net.outputs(w, x))

    def gradient(self, w: Floats, x: Floats, slope: Floats) -> Floats:
        """The derivative of a loss by the weights, shape (count,); ``slope`` (n, width) is its derivative by u."""
        trace = self.net.forward(w, x)
        return self.net.backward(w, trace, slope * (1.0 - np.tanh(trace[-1]) ** 2))[0]

    def jacobian(self, w: Floats, x: Floats) -> Floats:
        """The derivatives by the weights of all numbers of all rows, shape (n * width, count), row after row."""
        derivatives = np.empty((len(x), self.width, self.net.count))
        deltas = 1.0 - self.features(w, x) ** 2
        trace = self.net.forward(w, x)
        for unit in range(self.width):
            slope = np.zeros_like(deltas)
            slope[:, unit] = deltas[:, unit]
            derivatives[:, unit] = self.net.row_gradients(w, trace, slope)
        return derivatives.reshape(-1, self.net.count)
