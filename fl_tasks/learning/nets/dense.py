"""Networks of dense layers over one flat vector of weights, and their derivatives, in float64 numpy.

For each layer, the vector holds the weights (inputs, outputs), row by row, and then the biases (outputs,). Hidden layers have an
activation; the last one has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.crypto.prf import Stream

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Dense:
    """``sizes`` are the numbers of inputs, of every hidden layer's units, and of outputs."""

    sizes: tuple[int, ...]
    activation: str = "relu"

    @property
    def count(self) -> int:
        """How many weights and biases there are."""
        return sum((above + 1) * below for above, below in zip(self.sizes, self.sizes[1:], strict=False))

    def layers(self, w: Floats) -> list[tuple[Floats, Floats]]:
        """Weights (inputs, outputs) and biases (outputs,) of every layer: views of ``w``, shape (count,)."""
        layers, at = [], 0
        for above, below in zip(self.sizes, self.sizes[1:], strict=False):
            middle, end = at + above * below, at + (above + 1) * below
            layers.append((w[at:middle].reshape(above, below), w[middle:end]))
            at = end
        return layers

    def initial(self, stream: Stream) -> Floats:
        """First weights: uniform in +-sqrt(6 / (inputs + outputs)), biases 0 (Glorot and Bengio, AISTATS 2010, equation 16)."""
        w = np.zeros(self.count)
        for weights, _ in self.layers(w):
            uniform = (stream.uint64(weights.size) >> np.uint64(11)) * 2.0**-53
            weights[:] = ((2.0 * uniform - 1.0) * np.sqrt(6.0 / sum(weights.shape))).reshape(weights.shape)
        return w

    def forward(self, w: Floats, x: Floats) -> list[Floats]:
        """The inputs of every layer, ``x`` (n, inputs) first, and at the end the outputs (n, outputs)."""
        trace, layers = [x], self.layers(w)
        for number, (weights, biases) in enumerate(layers, start=1):
            sums = trace[-1] @ weights + biases
            trace.append(sums if number == len(layers) else self._activated(sums))
        return trace

    def outputs(self, w: Floats, x: Floats) -> Floats:
        """The outputs of the network, shape (n, outputs)."""
        return self.forward(w, x)[-1]

    def backward(self, w: Floats, trace: Sequence[Floats], slope: Floats) -> tuple[Floats, Floats]:
        """The derivatives of a loss: by the weights, summed over rows, shape (count,), and by the inputs, shape (n, inputs).

        ``slope`` is the derivative by the outputs, shape (n, outputs).
        """
        gradient = np.empty(self.count)
        deltas, by_inputs = self._deltas(w, trace, slope)
        for (weights, biases), entered, delta in zip(self.layers(gradient), trace, deltas, strict=False):
            weights[:] = entered.T @ delta
            biases[:] = delta.sum(axis=0)
        return gradient, by_inputs

    def row_norms(self, w: Floats, trace: Sequence[Floats], slope: Floats) -> Floats:
        """The L2 norm of each row's derivative by all weights, shape (n,), without computing these (Goodfellow 2015): that
        of a layer is the outer product of the layer's inputs and the derivative by its sums."""
        deltas, _ = self._deltas(w, trace, slope)
        squares = [((entered**2).sum(axis=1) + 1.0) * (delta**2).sum(axis=1) for entered, delta in zip(trace, deltas, strict=False)]
        return np.asarray(np.sqrt(np.sum(squares, axis=0)))

    def row_gradients(self, w: Floats, trace: Sequence[Floats], slope: Floats) -> Floats:
        """The derivative of each row by all weights, shape (n, count)."""
        deltas, _ = self._deltas(w, trace, slope)
        pieces = []
        for entered, delta in zip(trace, deltas, strict=False):
            pieces += [np.einsum("ni,no->nio", entered, delta).reshape(len(entered), -1), delta]
        return np.concatenate(pieces, axis=1)

    def penalised(self) -> Floats:
        """1 for weights and 0 for biases, shape (count,)."""
        mask = np.zeros(self.count)
        for weights, _ in self.layers(mask):
            weights[:] = 1.0
        return mask

    def _activated(self, sums: Floats) -> Floats:
        return np.maximum(sums, 0.0) if self.activation == "relu" else np.tanh(sums)

    def _deltas(self, w: Floats, trace: Sequence[Floats], slope: Floats) -> tuple[list[Floats], Floats]:
        """Derivatives by every layer's sums, first layer first, and by the inputs."""
        deltas, layers = [slope], self.layers(w)
        for number in range(len(layers) - 1, 0, -1):
            active = trace[number]
            back = deltas[0] @ layers[number][0].T
            deltas.insert(0, back * ((active > 0) if self.activation == "relu" else 1.0 - active**2))
        return deltas, deltas[0] @ layers[0][0].T
