"""The integers of the encrypted layer: grids, and slots that are large enough for every sum (docs/protocols/vertical-mlp.md).

The weights W between the units of a host and those of the guest are additive shares on a grid of 2^-32: W = W_hat + E. The guest
has W_hat, the host has E. Each draws its first share alone. In every step the host moves E by noise far larger than the step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.crypto.prf import Stream

Floats = npt.NDArray[np.float64]
Grid = npt.NDArray[np.object_]
"""Python integers of any size."""

ACTIVATION_BITS, WEIGHT_BITS, SLOPE_BITS, INPUT_BITS = 16, 32, 40, 24
"""Fractional bits of the units of a host, of weights, of derivatives by the joint sums, and of inputs times a unit derivative."""
NOISE_BITS = 108
"""The bits of the noise that hides a step of W, on the grid of the weights: 62 bits more than the largest step has."""
MOMENTUM_BITS = 53

LARGEST_ACTIVATION, LARGEST_UNITS, MOST_STEPS = 2.0**10, 64, 1 << 16
LARGEST_SLOPES = 2.0**4
"""The largest sum of magnitudes over a batch: of the derivatives by one joint sum, times the step size."""
SUM_SLOT, MOVE_SLOT, GRADIENT_SLOT = 112, 136, 160
"""The bits of a slot for sums of the forward pass, for steps of W with their noise, and for the gradient of a host."""
_DROPPED = ACTIVATION_BITS + SLOPE_BITS - WEIGHT_BITS


def encoded(values: npt.ArrayLike, bits: int) -> Grid:
    """The values rounded to the grid of 2^-bits, as integers of the same shape."""
    rounded = np.rint(np.asarray(values, np.float64) * 2.0**bits)
    return np.array([int(value) for value in rounded.ravel()], dtype=object).reshape(rounded.shape)


def shifted(values: Grid, bits: int) -> Grid:
    """The values divided by 2^bits and rounded."""
    return np.asarray((values + (1 << (bits - 1))) >> bits, dtype=object)


def noise(stream: Stream, shape: tuple[int, ...]) -> Grid:
    """Uniform noise on the fine grid of a step, before the step is rounded to the grid of the weights."""
    half, count = 1 << (NOISE_BITS + _DROPPED), int(np.prod(shape))
    return np.array([value - half for value in stream.integers_below(2 * half, count)], dtype=object).reshape(shape)


class Share:
    """The share of one party of W and of its velocity, shape (units, sums): v = momentum v + change, W = W + v.

    Each party rounds its share alone. So a step is wrong by at most two units of the grid, plus what momentum keeps of such errors.
    """

    def __init__(self, w: Grid, velocity: Grid, momentum: float) -> None:
        self.w, self.velocity = w, velocity
        self._momentum = round(momentum * 2.0**MOMENTUM_BITS)

    @classmethod
    def initial(cls, stream: Stream, units: int, sums: int) -> Share:
        """First weights with half the variance of Glorot. The sum of both shares has the full variance, and no party knows it."""
        uniform = (stream.uint64(units * sums) >> np.uint64(11)) * 2.0**-53
        w = encoded((2 * uniform - 1) * np.sqrt(3.0 / (units + sums)), WEIGHT_BITS).reshape(units, sums)
        return cls.still(w)

    @classmethod
    def of(cls, document: Sequence[Sequence[Sequence[int]]], momentum: float) -> Share:
        """The share of a document of :meth:`document`."""
        w, velocity = (np.array([[int(value) for value in row] for row in rows], dtype=object) for rows in document)
        return cls(w, velocity, momentum)

    @classmethod
    def still(cls, w: Grid) -> Share:
        """A share that does not move, for scoring."""
        return cls(w, w * 0, 0.0)

    def document(self) -> list[list[list[int]]]:
        """The share and its velocity for a checkpoint."""
        return [self.w.tolist(), self.velocity.tolist()]

    def move(self, change: Grid) -> None:
        """Move the share by ``change``, which is on the grid of products of units and slopes."""
        self.velocity = shifted(self.velocity * self._momentum, MOMENTUM_BITS) + shifted(change, _DROPPED)
        self.w = self.w + self.velocity
