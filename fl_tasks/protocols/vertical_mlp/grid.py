"""The whole numbers of the encrypted layer: grids, slots, and why no sum leaves its slot (docs/protocols/vertical-mlp.md).

Weights between a host's units and the guest's are additive shares: W = W_hat + E, at the guest and at the host, on a grid of
2^-32. First weights are the sum of what both drew, and in every step the host moves E by noise that is far larger than the step.
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
"""Fractional bits of a host's units, of weights, of derivatives by the guest's sums, and of inputs times a unit's derivative."""
NOISE_BITS = 108
"""A step of W is hidden in noise of so many bits on the weights' grid, 62 more than the largest step has."""
MOMENTUM_BITS = 53

LARGEST_ACTIVATION, LARGEST_UNITS, MOST_STEPS = 2.0**10, 64, 1 << 16
LARGEST_SLOPES = 2.0**4
"""Over a batch, the largest sum of a unit's derivatives times the step size, in magnitude."""
SUM_SLOT, MOVE_SLOT, GRADIENT_SLOT = 112, 136, 160
"""Bits of a slot: for sums of the forward pass, for steps of W with their noise, and for a host's own gradient."""
_DROPPED = ACTIVATION_BITS + SLOPE_BITS - WEIGHT_BITS


def encoded(values: npt.ArrayLike, bits: int) -> Grid:
    """Rounded to the grid of 2^-bits; same shape."""
    rounded = np.rint(np.asarray(values, np.float64) * 2.0**bits)
    return np.array([int(one) for one in rounded.ravel()], dtype=object).reshape(rounded.shape)


def shifted(values: Grid, bits: int) -> Grid:
    """Divided by 2^bits and rounded."""
    return np.asarray((values + (1 << (bits - 1))) >> bits, dtype=object)


def noise(stream: Stream, shape: tuple[int, ...]) -> Grid:
    """Uniform on the grid of a step before it is rounded to that of the weights."""
    half, count = 1 << (NOISE_BITS + _DROPPED), int(np.prod(shape))
    return np.array([one - half for one in stream.integers_below(2 * half, count)], dtype=object).reshape(shape)


class Share:
    """A party's share of W and of its velocity, shape (units, sums): v = momentum v + change, W = W + v.

    Both round by themselves: a step is off by two units of the grid at most, and in what momentum keeps of it.
    """

    def __init__(self, w: Grid, velocity: Grid, momentum: float) -> None:
        self.w, self.velocity = w, velocity
        self._momentum = round(momentum * 2.0**MOMENTUM_BITS)

    @classmethod
    def initial(cls, stream: Stream, units: int, sums: int) -> Share:
        """Half of the variance of Glorot's first weights: that of the sum of both shares, which neither party knows."""
        uniform = (stream.uint64(units * sums) >> np.uint64(11)) * 2.0**-53
        w = encoded((2 * uniform - 1) * np.sqrt(3.0 / (units + sums)), WEIGHT_BITS).reshape(units, sums)
        return cls.still(w)

    @classmethod
    def of(cls, document: Sequence[Sequence[Sequence[int]]], momentum: float) -> Share:
        """From :meth:`document`."""
        w, velocity = (np.array([[int(one) for one in row] for row in rows], dtype=object) for rows in document)
        return cls(w, velocity, momentum)

    @classmethod
    def still(cls, w: Grid) -> Share:
        """One that will not move."""
        return cls(w, w * 0, 0.0)

    def document(self) -> list[list[list[int]]]:
        """For a checkpoint."""
        return [self.w.tolist(), self.velocity.tolist()]

    def move(self, change: Grid) -> None:
        """``change`` is on the grid of products of units and slopes."""
        self.velocity = shifted(self.velocity * self._momentum, MOMENTUM_BITS) + shifted(change, _DROPPED)
        self.w = self.w + self.velocity
