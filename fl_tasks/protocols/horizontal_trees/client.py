"""The side of a client: it sums over its own rows for every node that is asked for, and splits its rows as the aggregator says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from tombolo.fl_tasks.learning.horizontal.columns import LARGEST_WEIGHT, ClientRows
from tombolo.fl_tasks.learning.horizontal.sums import contribute_integers, contribute_values, survivors
from tombolo.fl_tasks.learning.trees.bins import Codes
from tombolo.fl_tasks.learning.trees.boosting import Plan, plan_of
from tombolo.fl_tasks.learning.trees.growing import Derivatives, Local, Node
from tombolo.fl_tasks.learning.trees.objectives import Floats
from tombolo.fl_tasks.learning.trees.records import keep_records, keep_trees
from tombolo.fl_tasks.learning.trees.tree import Bools, SplitRecord
from tombolo.fl_tasks.protocols.horizontal_trees.messages import ForeignTrees, OtherClients, Start, integers, loss_unit
from tombolo.fl_tasks.protocols.horizontal_trees.shape import Part, Shape
from tombolo.fl_tasks.protocols.horizontal_trees.start import client_start
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.session import Session

_LARGEST_GAIN = float(np.finfo(np.float32).max)
"""Gains are computed in single precision; with a squared loss they grow with the square of the label."""


def client(session: Session, rows: ClientRows) -> State:
    """The part of a client in the rounds of this leg. Returns its last state, with the ``loss`` list."""
    plan = plan_of(session)
    start, learning = client_start(session, rows, plan)
    codes, own = rows.encoded(start.binner), Own(plan, start, rows.labels, learning)
    state: State = session.latest or {
        "margins": np.tile(start.base, (len(codes), 1)),
        "base": start.base,
        "loss": [],
        "validation": [],
        "records": 0,
    }
    for _ in session.rounds():
        grown = Grown(start, own.derivatives(state["margins"]), codes, learning, state["records"])
        _grow(session, plan, grown)
        session.within(None)
        margins = state["margins"] + grown.addends(*_values(session, grown.shape))
        session.within(plan.depth)
        contribute_values(session, own.losses(margins))
        session.within(None)
        verdict = _verdict(session)
        keep_records(session, grown.shape.records)
        keep_trees(session, grown.shape.trees)
        validation = [] if plan.patience is None else [*state["validation"], verdict["validation"]]
        kept = {"margins": margins, "base": start.base, "records": state["records"] + len(grown.shape.records)}
        losses = {"loss": [*state["loss"], verdict["loss"]], "validation": validation}
        state = session.checkpoint({**kept, **losses, "kept": verdict["kept"], "stopped": verdict["stop"]})
        session.report(round=session.round, loss=verdict["loss"])
    return state


class Own:
    """The labels of a client. They give derivatives in the common units, and the addends of its rows to the losses."""

    def __init__(self, plan: Plan, start: Start, labels: Floats, learning: Bools) -> None:
        self._objective, self._units, self._labels, self._learning = plan.objective, start.units, labels, learning
        self._loss_unit = loss_unit(plan, start)

    def derivatives(self, margins: Floats) -> list[Derivatives]:
        """g and h of every output. Raises OutOfRange."""
        g, h = self._objective.derivatives(margins, self._labels)
        (g_unit, h_unit), outputs = self._units, range(margins.shape[1])
        return [Derivatives(integers(g[:, k], g_unit), integers(h[:, k], h_unit), self._units) for k in outputs]

    def losses(self, margins: Floats) -> Floats:
        """Number and loss of the training rows, then number and loss of the validation rows."""
        lost = self._objective.losses(margins, self._labels) / self._loss_unit
        return np.array([part for rows in (self._learning, ~self._learning) for part in (rows.sum(), lost[rows].sum())])


class Grown:
    """The trees of one round, and the node of each row of this client."""

    def __init__(self, start: Start, derivatives: list[Derivatives], codes: Codes, learning: Bools, first: int) -> None:
        outputs = len(derivatives)
        self._start, self._codes, self._learning, self._outputs = start, codes, learning, outputs
        self._local = Local(codes, int(start.binner.sizes.max()), derivatives, np.arange(codes.shape[1]), 0)
        self.shape = Shape(start.binner, outputs, first)
        self._rows = {number: np.arange(len(codes)) for number in self.shape.asked}

    def sums(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Sums of g and h by column and bin over the rows of this client, for every node that is asked for."""
        nodes = []
        for number in self.shape.asked:
            rows = self._rows[number]
            nodes.append(Node(number, self.shape.output(number), 0, rows, self._learning[rows], (0, 0), self._start.units))
        return self._start.flat(self._local.histograms(nodes))

    def split(self, parts: list[Part]) -> None:
        """Move the rows of the split nodes to the children."""
        self.shape.split(parts)
        for part in parts:
            rows = self._rows[part.node]
            left = part.record.left(self._codes[rows])
            self._rows |= dict(zip(part.children(self._outputs), (rows[left], rows[~left]), strict=True))

    def addends(self, values: Floats, covers: Floats) -> Floats:
        """Give every node its value and its cover. Returns what the trees add to the margins, shape (rows, outputs)."""
        at = 0
        for tree in self.shape.trees:
            size = len(tree.party)
            tree.value, tree.cover = values[at : at + size].tolist(), covers[at : at + size].tolist()
            at += size
        added = np.zeros((len(self._codes), self._outputs))
        for number, rows in self._rows.items():  # children come after their parent, and replace its value
            output = self.shape.output(number)
            added[rows, output] = self.shape.trees[output].value[self.shape.places[number]]
        return added


def _grow(session: Session, plan: Plan, grown: Grown) -> None:
    """Grow the trees of a round, level by level. A client that misses a sum sends nothing to the later sums of this round.

    Raises :class:`ForeignTrees`, :class:`OtherClients`, and the errors of sums.
    """
    inside, clients = True, list[str]()
    for level in range(plan.depth):
        session.within(level)
        inside = inside and contribute_integers(session, grown.sums())
        now = survivors(session) if inside else []
        clients = clients if level else now
        parts = _splits(session, grown.shape, last=level == plan.depth - 1)
        if inside and now != clients and parts:
            raise OtherClients(party=session.aggregator)
        grown.split(parts)
        if not grown.shape.asked:
            return


def _splits(session: Session, shape: Shape, last: bool) -> list[Part]:
    """Receive the splits of a level; only open nodes may be split. Raises :class:`ForeignTrees`."""
    table = session.receive("splits", session.aggregator)
    node, column, cut, missing, gain, asked = (
        session.values(table, name).to_pylist() for name in ("node", "column", "cut", "missing_left", "gain", "next")
    )
    parts = [
        Part(number, SplitRecord(*record), worth, after)
        for number, *record, worth, after in zip(node, column, cut, missing, gain, asked, strict=True)
    ]
    if not shape.fits(parts) or not (np.abs(gain) <= _LARGEST_GAIN).all() or (last and any(asked)):
        raise ForeignTrees(party=session.aggregator)
    return parts


def _values(session: Session, shape: Shape) -> tuple[Floats, Floats]:
    """Receive the value and the cover of every node, tree by tree. Raises :class:`ForeignTrees`."""
    table = session.receive("values", session.aggregator)
    values, covers = (_floats(session.values(table, name)) for name in ("value", "cover"))
    if len(values) != sum(len(tree.party) for tree in shape.trees) or not (np.abs([values, covers]) <= LARGEST_WEIGHT).all():
        raise ForeignTrees("There is a wrong number of values or covers of nodes, or one is too large.", party=session.aggregator)
    return values, covers


def _verdict(session: Session) -> dict[str, Any]:
    """Receive the losses, the number of kept rounds, and whether training is over."""
    table = session.receive("verdict", session.aggregator)
    verdict = {name: session.scalar(table, name) for name in ("loss", "validation", "stop")}
    return verdict | {"kept": session.scalar(table, "kept", 1, session.round)}


def _floats(values: pa.Array) -> Floats:
    """The values as numbers; NaN for a missing value."""
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)
