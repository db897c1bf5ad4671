"""The messages of horizontal trees besides secure sums, their errors, and what all parties know before the first tree."""

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
from tombolo.fl_tasks.learning.trees.tree import MOST_NODES
from tombolo.storage.errors import CodedError
from tombolo.storage.meters import MODEL, PROGRESS
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
            "node": Disclosed("int64", _MODEL, "nodes that are split", MODEL),
            "column": Disclosed("int64", _MODEL, "one number per split", MODEL),
            "cut": Disclosed("int64", _MODEL, "one number per split", MODEL),
            "missing_left": Disclosed("bool", _MODEL, "one bit per split", MODEL),
            "gain": Disclosed("float64", _MODEL, "one number per split", MODEL),
            "next": Disclosed("int64", "which sums are taken next", "one number per split", PROGRESS),
        },
        learns="the splits of the joint model at one level, and which nodes may be split next",
        step="6",
        limit="a function of the sums",
        rows=MOST_NODES,
    ),
    Message(
        "values",
        AGGREGATOR,
        CLIENT,
        {
            "value": Disclosed("float64", _MODEL, "one number per node", MODEL),
            "cover": Disclosed("float64", _MODEL, "one number per node", MODEL),
        },
        learns="the value of each node in the new trees of the joint model, and the sum of h in it",
        step="7",
        limit="sums over at least the agreed rows",
        rows=MOST_NODES,
    ),
    Message(
        "verdict",
        AGGREGATOR,
        CLIENT,
        {
            "loss": Disclosed("float64", "the training loss", "one aggregate per round", PROGRESS),
            "validation": Disclosed("float64", "the loss of rows kept for early stopping", "one aggregate per round", PROGRESS),
            "kept": Disclosed("int64", "how many rounds the model keeps so far", "one number per round", PROGRESS),
            "stop": Disclosed("bool", "whether training is over", "one bit per round", PROGRESS),
        },
        learns="the joint losses, the round that early stopping goes back to, and whether training is over",
        step="8",
        limit="two aggregates, a number and a bit per round",
    ),
)


class ForeignTrees(CodedError):
    code = "TMB-HORIZONTAL-003"
    cause = "The aggregator sent impossible trees: an unknown node, column or cut, a wrong number of nodes, or a wrong number."
    remedy = "Check that all parties run the same version. If they do, ask the aggregator."


class OtherClients(CodedError):
    code = "TMB-HORIZONTAL-004"
    cause = "The aggregator continues a tree with other clients than before. The sums could then show the data of a single client."
    remedy = "Ask the aggregator: an honest aggregator ends the tree in this case. The client sends nothing more in this run."


@dataclass(frozen=True)
class Start:
    """What all parties know before the first tree: the common bins, the margin that training starts from, and the size of one
    unit of the summed g and of the summed h."""

    binner: Binner
    base: Floats
    units: tuple[float, float]

    @property
    def cells(self) -> npt.NDArray[np.bool_]:
        """Which bins exist, shape (columns, 1 + bins). Bin 0 exists only if missing values have a bin of their own."""
        sizes = self.binner.sizes
        cells = np.arange(1 + int(sizes.max())) <= sizes[:, None]
        cells[:, 0] = self.binner.missing
        return np.asarray(cells)

    def flat(self, tables: list[Sums]) -> npt.NDArray[np.int64]:
        """The sums of several nodes, each of shape (columns, 1 + bins, 2), as the flat vector that is summed."""
        cells = self.cells
        return np.concatenate([table[cells].ravel() for table in tables])

    def tables(self, flat: npt.NDArray[np.int64]) -> list[Sums]:
        """Inverse of :meth:`flat`."""
        cells = self.cells
        tables = []
        for values in flat.reshape(-1, int(cells.sum()), 2):
            table = np.zeros((*cells.shape, 2), dtype=np.int64)
            table[cells] = values
            tables.append(table)
        return tables


def units(plan: Plan, label_scale: float) -> tuple[float, float]:
    """The size of one unit of g and of h, the same at all clients. The units are powers of two: the largest g of a class (with a
    squared loss: one standard deviation of the label) and the largest h have ``gradient_bits`` bits."""
    largest = label_scale if plan.objective.name == "squared" else 1.0
    g, h = (float(np.ldexp(1.0, int(np.frexp(most)[1]) - plan.bits)) for most in (largest, plan.objective.curvature))
    return g, h


def loss_unit(plan: Plan, start: Start) -> float:
    """The unit in which losses are summed: 1 for classes, about the variance of the label for numbers."""
    return (2.0**plan.bits * start.units[0]) ** 2 if plan.objective.name == "squared" else 1.0


def integers(values: Floats, unit: float) -> npt.NDArray[np.int64]:
    """Values rounded to whole units. Raises :class:`OutOfRange` if they are not finite, or too large for an exact sum."""
    whole = np.rint(values / unit)
    if not np.abs(whole).sum() < _EXACT:
        raise OutOfRange("The labels or margins of a client are not finite, or too large for an exact sum.")
    return whole.astype(np.int64)
