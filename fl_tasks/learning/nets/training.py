"""A network and how it is trained, as terms and a run's parameters say; the same at every client and in the pooled reference."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.learning.nets.dense import Dense
from tombolo.fl_tasks.learning.nets.losses import losses, slopes
from tombolo.fl_tasks.learning.nets.optimisers import Momentum
from tombolo.fl_tasks.learning.parameters import Averaged
from tombolo.fl_tasks.learning.terms import NetworkTerms

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Encoded rows, shape (n, columns), and their labels, shape (n,); numbers in units of the common deviation."""

    x: Floats
    y: Floats

    def __len__(self) -> int:
        return len(self.y)

    def part(self, rows: npt.NDArray[Any]) -> Sample:
        """The sample of some of the rows."""
        return Sample(self.x[rows], self.y[rows])


@dataclass(frozen=True)
class Training:
    """``step``, ``momentum``, ``batch_rows`` (0: all rows) and ``l2`` of descent; ``proximal`` pulls weights back to the start."""

    net: Dense
    outcome: str
    step: float
    momentum: float
    batch_rows: int
    l2: float
    epochs: int
    proximal: float
    prf: Prf

    @classmethod
    def of(cls, network: NetworkTerms, params: Averaged, columns: int) -> Training:
        """The training of a network over ``columns`` encoded columns."""
        outputs = network.classes if network.outcome == "classes" else 1
        net = Dense((columns, *network.hidden, outputs), network.activation)
        seed = hashlib.sha256(b"tombolo network/1\0" + str(params.seed).encode()).digest()
        return cls(
            net=net,
            outcome=network.outcome,
            step=params.step,
            momentum=params.momentum,
            batch_rows=params.batch_rows or 0,
            l2=params.l2,
            epochs=params.local_epochs,
            proximal=params.proximal if params.strategy == "fedprox" else 0.0,
            prf=Prf(seed),
        )

    def initial(self) -> Floats:
        """The weights that all clients begin with."""
        return self.net.initial(self.prf.stream("weights"))

    def loss(self, w: Floats, sample: Sample) -> float:
        """The sum of the rows' losses."""
        return float(losses(self.outcome, self.net.outputs(w, sample.x), sample.y).sum())

    def gradient(self, w: Floats, sample: Sample) -> Floats:
        """The gradient of mean loss + l2/2 |weights|^2, biases not penalised; shape (count,)."""
        trace = self.net.forward(w, sample.x)
        summed, _ = self.net.backward(w, trace, slopes(self.outcome, trace[-1], sample.y))
        return summed / max(len(sample), 1) + self.penalty(w)

    def clipped_gradient(self, w: Floats, sample: Sample, bound: float) -> Floats:
        """The rows' gradients, each shortened to an L2 norm of ``bound`` at most (Abadi et al., CCS 2016), summed; no penalty."""
        trace = self.net.forward(w, sample.x)
        slope = slopes(self.outcome, trace[-1], sample.y)
        norms = self.net.row_norms(w, trace, slope)
        shortened = slope * np.minimum(1.0, bound / np.maximum(norms, 1e-300))[:, None]
        return self.net.backward(w, trace, shortened)[0]

    def penalty(self, w: Floats) -> Floats:
        """The penalty's gradient."""
        return self.l2 * self.net.penalised() * w

    def descended(self, w: Floats, sample: Sample, orders: Iterable[npt.NDArray[np.int64]]) -> Floats:
        """Weights after descent in batches over the rows, once for each of ``orders``; not finite if the step is too large."""
        at, mover = w, Momentum(self.step, self.momentum, np.zeros_like(w))
        with np.errstate(over="ignore", invalid="ignore"):
            for order in orders:
                size = self.batch_rows or max(len(order), 1)
                for start in range(0, len(order), size):
                    batch = sample.part(order[start : start + size])
                    at, mover = mover.move(at, self.gradient(at, batch) + self.proximal * (at - w))
        return at

    def orders(self, rows: int, *labels: str | int) -> Iterable[npt.NDArray[np.int64]]:
        """An order of the rows for each epoch. The same seed and labels give the same orders."""
        return (self.prf.stream("order", *labels, epoch).permutation(rows) for epoch in range(self.epochs))
