"""L-BFGS over the columns of several parties: inner products are sums of shares, a direction is a list of coefficients.

Every party keeps its own coordinates of the last steps s, gradient changes y and z = M y, where M is its own preconditioner. The
next direction is a combination of all s, all z and M g (g is the gradient at the best point so far). Its coefficients follow from
the inner products of these vectors alone (Nocedal 1980; in the vector-free form of Chen, Wang and Zhou, NIPS 2014). If the loss at
a point is not lower, the search goes back to the best point: first with a shorter step, then with the plain preconditioned step,
which always descends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tombolo.fl_tasks.learning.vertical.rows import Floats
from tombolo.storage.errors import CodedError

_LARGEST = 2.0**32
"""The largest allowed coefficient of a direction. An honest arbiter sends no larger one."""
MEMORY = 20
_SHORTER = 0.3


class ForeignDirection(CodedError):
    code = "TMB-TRAIN-008"
    cause = "The arbiter sent a wrong number of coefficients for a direction, or a coefficient that is too large."
    remedy = "Check that both parties run the same version. If they do, ask the arbiter."


@dataclass(frozen=True)
class Path:
    """The path of the search at one party: the best point, its gradient, the next point ``ahead``, and the remembered steps."""

    best: Floats
    gradient: Floats
    ahead: Floats
    steps: Floats
    changes: Floats

    @classmethod
    def start(cls, columns: int) -> Path:
        """The path before the first round; the first point is the origin."""
        nothing, empty = np.zeros(columns), np.zeros((0, columns))
        return cls(nothing, nothing, nothing, empty, empty)

    def seen(self, gradient: Floats, first: bool) -> Path:
        """The path with the newest step and gradient change added; the first point has neither."""
        if first:
            return self
        steps = np.vstack([self.steps, self.ahead - self.best])
        return Path(self.best, self.gradient, self.ahead, steps, np.vstack([self.changes, gradient - self.gradient]))

    def products(self, gradient: Floats, preconditioner: Floats) -> list[float]:
        """The addends of this party to the inner products of the newest point: 5 k - 1 numbers for k steps, none for k = 0."""
        if not len(self.steps):
            return []
        step, change, shaped = self.steps[-1], self.changes[-1], self.changes @ preconditioner
        parts = (self.changes @ step, self.steps[:-1] @ change, shaped @ change, self.steps @ gradient, shaped @ gradient)
        return [float(value) for part in parts for value in part]

    def moved(self, gradient: Floats, preconditioner: Floats, better: bool, keep: bool, coefficients: Floats) -> Path:
        """The path after a move to the next point. Raises :class:`ForeignDirection`."""
        kept = slice(-MEMORY, None) if keep else slice(-MEMORY - 1, -1)
        steps, changes = self.steps[kept], self.changes[kept]
        if len(coefficients) != 2 * len(steps) + 1 or not (np.abs(coefficients) <= _LARGEST).all():
            raise ForeignDirection()
        best, at = (self.ahead, gradient) if better else (self.best, self.gradient)
        along, shaped, plain = coefficients[: len(steps)], coefficients[len(steps) : -1], coefficients[-1]
        ahead = best + along @ steps + preconditioner @ (changes.T @ shaped + plain * at)
        return Path(best, at, ahead, steps, changes)

    def state(self) -> dict[str, Floats]:
        """The values for a checkpoint."""
        return {"w": self.best, "gradient": self.gradient, "ahead": self.ahead, "steps": self.steps, "changes": self.changes}

    @classmethod
    def of(cls, state: dict[str, Any]) -> Path:
        """Inverse of :meth:`state`."""
        return cls(state["w"], state["gradient"], state["ahead"], state["steps"], state["changes"])


@dataclass
class Guide:
    """The search at the arbiter, which learns the sums: inner products of the remembered vectors, and the next coefficients.

    ``sy[i, j]`` = s_i y_j, ``yz[i, j]`` = y_i M y_j; ``sg`` and ``yh`` = s_i g and y_i M g at the best point so far.
    """

    sy: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    yz: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    sg: Floats = field(default_factory=lambda: np.zeros(0))
    yh: Floats = field(default_factory=lambda: np.zeros(0))
    best: float | None = None
    misses: int = 0
    better: bool = True
    keep: bool = False

    @property
    def products(self) -> int:
        """How many inner products the parties send for the next point."""
        return 0 if self.best is None else 5 * (len(self.sg) + 1) - 1

    def learn(self, loss: float, products: list[float]) -> None:
        """Add the loss and inner products of a point. Sets :attr:`better` (it is the best) and :attr:`keep` (remember it)."""
        self.better = self.best is None or loss < self.best
        self.misses = 0 if self.better else self.misses + 1
        if self.best is not None:
            self._remember(products)
        if self.better:
            self.best = loss

    def _remember(self, products: list[float]) -> None:
        k, before = len(self.sg) + 1, (self.sg, self.yh)
        cut = np.cumsum([k, k - 1, k, k])
        new_row, new_column, shaped, sg, yh = np.split(np.array(products), cut)
        self.sy = np.block([[self.sy, new_column[:, None]], [new_row[None, :-1], new_row[None, -1:]]])
        self.yz = np.block([[self.yz, shaped[:-1, None]], [shaped[None, :]]])
        if not self.better:  # the best point stays: products with its gradient follow from the differences
            sg, yh = np.append(before[0], sg[-1] - new_row[-1]), np.append(before[1], yh[-1] - shaped[-1])
        self.sg, self.yh = sg, yh
        self.keep = bool(new_row[-1] > 0 and shaped[-1] > 0)
        kept = slice(-MEMORY, None) if self.keep else slice(-MEMORY - 1, -1)
        self.sy, self.yz, self.sg, self.yh = self.sy[kept, kept], self.yz[kept, kept], self.sg[kept], self.yh[kept]

    def coefficients(self) -> Floats:
        """The coefficients of the next step from the best point: for every s, for every z, and for M g; shape (2 k + 1,)."""
        k = len(self.sg)
        if self.misses > 1 or not k:
            return np.append(np.zeros(2 * k), -1.0)
        first, second = np.zeros(k), np.zeros(k)
        for i in reversed(range(k)):
            first[i] = (self.sg[i] - self.sy[i] @ first) / self.sy[i, i]
        scale = max(1.0, self.sy[-1, -1] / self.yz[-1, -1])
        for i in range(k):
            moved = scale * (self.yh[i] - self.yz[i] @ first) + self.sy[:i, i] @ (first - second)[:i]
            second[i] = moved / self.sy[i, i]
        step = np.concatenate([second - first, scale * first, [-scale]])
        return step * _SHORTER if self.misses else step

    def state(self) -> dict[str, Any]:
        """The values for a checkpoint."""
        return {"sy": self.sy, "yz": self.yz, "sg": self.sg, "yh": self.yh, "best": self.best, "misses": self.misses}

    @classmethod
    def of(cls, state: dict[str, Any]) -> Guide:
        """Inverse of :meth:`state`."""
        return cls(**{name: state[name] for name in ("sy", "yz", "sg", "yh", "best", "misses")})
