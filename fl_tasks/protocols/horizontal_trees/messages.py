"""What an aggregator and clients that grow trees together tell each other beside secure sums, and what all of them know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.crypto.errors import OutOfRange
from tombolo.fl_tasks.learning.horizontal.columns import Floats
from tombolo.fl_tasks.learning.horizontal.secagg import MESSAGES as SUMS
from tombolo.fl_tasks.learning.horizontal.sums import STATISTIC
from tombolo.fl_tasks.learning.trees.bins import Binner
from tombolo.fl_tasks.learning.trees.boosting import Plan
from tombolo.fl_tasks.learning.trees.splits import Sums
from tombolo.storage.errors import CodedError
from tombolo.storage.roles import AGGREGATOR, CLIENT
from tombolo.storage.schema import Disclosed, Message, MessageSet

_MODEL = "the joint model"
_EXACT = 2.0**53

MESSAGES = MessageSet(
    "horizontal-trees",
    SUMS,
    STATISTIC,
    Message(
        "splits",
        AGGREGATOR,
        CLIENT,
        {
            "node": Disclosed("int64", _MODEL, "nodes that are split"),
            "column": Disclosed("int64", _MODEL, "one number per split"),
            "cut": Disclosed("int64", _MODEL, "one number per split"),
            "missing_left": Disclosed("bool", _MODEL, "one bit per split"),
            "gain": Disclosed("float64", _MODEL, "one number per split"),
            "next": Disclosed("int64", "which sums are taken next", "one number per split"),
        },
        learns="the joint model's splits of one level, and which nodes are looked at further",
        step="6",
        limit="a function of the sums",
    ),
    Message(
        "values",
        AGGREGATOR,
        CLIENT,
        {
            "value": Disclosed("float64", _MODEL, "one number per node"),
            "cover": Disclosed("float64", _MODEL, "one number per node"),
        },
        learns="what the nodes of the joint model's new trees are worth, and the sum of h in them",
        step="7",
        limit="sums over at least the agreed rows",
    ),
    Message(
        "verdict",
        AGGREGATOR,
        CLIENT,
        {
            "loss": Disclosed("float64", "the training loss", "one aggregate per round"),
            "validation": Disclosed("float64", "the loss of rows kept for early stopping", "one aggregate per round"),
            "kept": Disclosed("int64", "how many rounds the model keeps so far", "one number per round"),
            "stop": Disclosed("bool", "whether training is over", "one bit per round"),
        },
        learns="the joint losses, the round that early stopping goes back to, and whether training is over",
        step="8",
        limit="two aggregates, a number and a bit per round",
    ),
)


class ForeignTrees(CodedError):
    code = "TMB-HORIZONTAL-003"
    cause = "What the aggregator says of trees cannot be: no such node, column or cut, a wrong number of nodes, or not finite."
    remedy = "The client sends nothing further. All parties must run the same version; if they do, ask the aggregator."


class OtherClients(CodedError):
    code = "TMB-HORIZONTAL-004"
    cause = "The aggregator goes on with a tree over other clients than it began with; sums would differ by a single client's."
    remedy = "The client sends nothing further. Honest aggregators end the tree there; ask the aggregator."


@dataclass(frozen=True)
class Start:
    """What all know before the first tree: the common bins, the margin that training starts from, and what one unit of the
    summed g and h is worth."""

    binner: Binner
    base: Floats
    units: tuple[float, float]

    @property
    def cells(self) -> npt.NDArray[np.bool_]:
        """Which bins there are, shape (columns, 1 + bins): bin 0 only where missing values have one of their own."""
        sizes = self.binner.sizes
        cells = np.arange(1 + int(sizes.max())) <= sizes[:, None]
        cells[:, 0] = self.binner.missing
        return np.asarray(cells)

    def flat(self, tables: list[Sums]) -> npt.NDArray[np.int64]:
        """The sums of several nodes, each of shape (columns, 1 + bins, 2), as they are summed."""
        cells = self.cells
        return np.concatenate([table[cells].ravel() for table in tables])

    def tables(self, flat: npt.NDArray[np.int64]) -> list[Sums]:
        """Inverse of :meth:`flat`."""
        cells = self.cells
        found = []
        for one in flat.reshape(-1, int(cells.sum()), 2):
            table = np.zeros((*cells.shape, 2), dtype=np.int64)
            table[cells] = one
            found.append(table)
        return found


def units(plan: Plan, label_scale: float) -> tuple[float, float]:
    """What one unit of g and of h is worth, the same at all clients: powers of two such that a g of a class, or one of the label's
    deviation, and the largest h have ``gradient_bits``."""
    largest = label_scale if plan.objective.name == "squared" else 1.0
    g, h = (float(np.ldexp(1.0, int(np.frexp(one)[1]) - plan.bits)) for one in (largest, plan.objective.curvature))
    return g, h


def loss_unit(plan: Plan, start: Start) -> float:
    """In which units losses are summed: 1 for classes, about the label's variance for numbers."""
    return (2.0**plan.bits * start.units[0]) ** 2 if plan.objective.name == "squared" else 1.0


def integers(values: Floats, unit: float) -> npt.NDArray[np.int64]:
    """Values in whole units. Raises :class:`OutOfRange` for what is not finite or too large to be summed exactly."""
    whole = np.rint(values / unit)
    if not np.abs(whole).sum() < _EXACT:
        raise OutOfRange("Labels or margins of a client are not finite, or too large to be summed.")
    return whole.astype(np.int64)
