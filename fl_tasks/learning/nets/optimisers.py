"""How weights move along gradients. An optimiser does not change: each move returns the optimiser for the next move."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Momentum:
    """Gradient descent with momentum (Polyak 1964): v = momentum v - step g; w = w + v. Plain descent where momentum is 0."""

    step: float
    momentum: float
    velocity: Floats

    def move(self, w: Floats, gradient: Floats) -> tuple[Floats, Momentum]:
        """The weights after one move, and the optimiser after it."""
        velocity = self.momentum * self.velocity - self.step * gradient
        return w + velocity, replace(self, velocity=velocity)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba, ICLR 2015, algorithm 1): running means ``first`` and ``second`` of gradients and of their squares."""

    rate: float
    first: Floats
    second: Floats
    moves: int = 0
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3
    """Added to the root of the squares. Gradients that are much smaller move the weights little."""

    def move(self, w: Floats, gradient: Floats) -> tuple[Floats, Adam]:
        """The weights after one move, and the optimiser after it."""
        moves = self.moves + 1
        first = self.beta1 * self.first + (1.0 - self.beta1) * gradient
        second = self.beta2 * self.second + (1.0 - self.beta2) * gradient**2
        mean, square = first / (1.0 - self.beta1**moves), second / (1.0 - self.beta2**moves)
        moved = w - self.rate * mean / (np.sqrt(square) + self.tau)
        return moved, replace(self, first=first, second=second, moves=moves)
