"""A party's feature net: dense layers ended by tanh, so that what it tells of a row are numbers between -1 and 1."""

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
    """The net u = tanh(net(x)) of one party: x of shape (n, inputs), u of shape (n, width)."""

    net: Dense

    @classmethod
    def of(cls, terms: TransferTerms, inputs: int) -> PartyNet:
        return cls(Dense((inputs, *terms.hidden, terms.width), "tanh"))

    @property
    def width(self) -> int:
        """How many numbers come out."""
        return self.net.sizes[-1]

    def initial(self, seed: object, role: str) -> Floats:
        """First weights, shape (count,): from the run's seed, others for each role."""
        return self.net.initial(Prf(hashlib.sha256(f"tombolo transfer/1\0{seed}".encode()).digest()).stream(role))

    def features(self, w: Floats, x: Floats) -> Floats:
        """u, shape (n, width)."""
        return np.tanh(self.net.outputs(w, x))

    def gradient(self, w: Floats, x: Floats, slope: Floats) -> Floats:
        """Derivative by the weights, shape (count,), of a loss whose derivative by u is ``slope`` (n, width)."""
        trace = self.net.forward(w, x)
        return self.net.backward(w, trace, slope * (1.0 - np.tanh(trace[-1]) ** 2))[0]

    def jacobian(self, w: Floats, x: Floats) -> Floats:
        """Derivatives of all numbers of all rows by the weights, shape (n * width, count), row after row."""
        found = np.empty((len(x), self.width, self.net.count))
        deltas = 1.0 - self.features(w, x) ** 2
        trace = self.net.forward(w, x)
        for unit in range(self.width):
            slope = np.zeros_like(deltas)
            slope[:, unit] = deltas[:, unit]
            found[:, unit] = self.net.row_gradients(w, trace, slope)
        return found.reshape(-1, self.net.count)
