"""The plain model that a protocol is compared with: one machine trains it on the columns of all parties and the same rows.

This is possible only where one machine has all tables: in simulations, demos and acceptance runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tombolo.agreements.parameters import Parameters
from tombolo.agreements.task import TaskTerms
from tombolo.agreements.terms import LimitTerms
from tombolo.fl_tasks.models.part import ModelPart
from tombolo.fl_tasks.runtime.checkpoints import State

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LabelledRows:
    """Labels and weights of all aligned rows, shape (n,), and which of them are held out."""

    labels: Floats
    weights: Floats
    test: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Pooled:
    """The data of a finished run on one machine.

    ``columns`` are the parties' columns as the run encoded them, each of shape (n, columns), the guest's first; ``begun`` is what
    each party's training started from, if the protocol keeps it. ``rounds`` is the number of trained rounds.
    """

    task: TaskTerms
    limits: LimitTerms
    params: Parameters
    rounds: int
    columns: Mapping[str, npt.NDArray[Any]]
    rows: LabelledRows
    begun: Mapping[str, State] = field(default_factory=dict)

    @property
    def whole(self) -> npt.NDArray[Any]:
        """All parties' columns side by side."""
        return np.hstack(list(self.columns.values()))


@dataclass(frozen=True)
class Reference:
    """``totals`` trains on the rows that are not held out, and gives the total scores of the held-out rows: shape (rows,), or
    (rows, classes) if there are several classes.

    ``alone`` gives weights (d,) and intercept of the optimum over one party's columns (n, d), labels (n,) and an L2 penalty.
    ``federated`` computes the held-out margins from the parts of all parties, the guest's name and the encoded columns.
    """

    totals: Callable[[Pooled], Floats]
    alone: Callable[[Floats, Floats, float], tuple[Floats, float]] | None = None
    federated: Callable[[Mapping[str, ModelPart], str, Mapping[str, npt.NDArray[Any]]], Floats] | None = None
