"""The side of the aggregator: it learns the histograms over the rows of all clients, finds the splits, and sends them to all.

The trees of a round are grown over the clients that take part in its first sum. If one of these clients is missing at a later
level, the sums of that level are not used, and the trees end there. The reason: g and h do not change within a round, so the sums
of a parent with this client minus those of its children without it would show the sums of this client alone. The next round
grows its trees over the clients that are present then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.learning.horizontal.columns import Floats, ForeignSums
from tombolo.fl_tasks.learning.horizontal.state import PRESENT
from tombolo.fl_tasks.learning.horizontal.sums import Attendance, sum_integers, sum_values
from tombolo.fl_tasks.learning.rounding import shown
from tombolo.fl_tasks.learning.trees.boosting import Plan, plan_of
from tombolo.fl_tasks.learning.trees.growing import gain_of, heavy, leaf_value
from tombolo.fl_tasks.learning.trees.splits import Pair, Sums, best_splits
from tombolo.fl_tasks.learning.trees.tree import LEAF, SplitRecord
from tombolo.fl_tasks.learning.vertical.rows import BatchTooSmall
from tombolo.fl_tasks.protocols.horizontal_trees.messages import Start, loss_unit
from tombolo.fl_tasks.protocols.horizontal_trees.shape import LEFT, NEITHER, RIGHT, Part, Shape
from tombolo.fl_tasks.protocols.horizontal_trees.start import aggregate_start
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.session import Session

_FLAT = 1e-12


def aggregator(session: Session) -> State:
    """The part of the aggregator in the rounds of this leg. It learns sums, and from them the joint model."""
    plan, attendance = plan_of(session), Attendance.of(session)
    state = session.latest
    if state is not None:
        attendance.expected = list(state["present"])
    start = aggregate_start(session, attendance, plan)
    state = state or {"loss": [], "validation": [], "since": 0, "present": []}
    for _ in session.rounds():
        session.within(plan.depth)
        attendance.expect_returned(session)
        grown = Grown(plan, start)
        _grow(session, plan, grown, attendance)
        session.within(None)
        session.send("values", value=list(grown.nodes("value")), cover=list(grown.nodes("cover")))
        session.within(plan.depth)
        sums = sum_values(session, 4, attendance)
        session.within(None)
        after = _measured(session, plan, start, state, sums, attendance.expected, grown.flat)
        losses = {name: shown(after[name][-1]) for name in ("loss", "validation")}
        session.send("verdict", **losses, kept=after["kept"], stop=after["stopped"])
        state = session.checkpoint(after)
        session.report(round=session.round, loss=state["loss"][-1], clients=len(attendance.expected))
    if session.finished:
        session.state.keep(PRESENT, attendance.expected)
    return state


def _grow(session: Session, plan: Plan, grown: Grown, attendance: Attendance) -> None:
    """Grow the trees of a round, level by level."""
    clients: list[str] = []
    for level in range(plan.depth):
        session.within(level)
        sums = sum_integers(session, grown.count, attendance)
        clients = clients or list(attendance.expected)
        parts = grown.level(sums, last=level == plan.depth - 1) if attendance.expected == clients else []
        grown.shape.split(parts)
        session.send(
            "splits",
            node=[part.node for part in parts],
            column=[part.record.column for part in parts],
            cut=[part.record.cut for part in parts],
            missing_left=[part.record.missing_left for part in parts],
            gain=[part.gain for part in parts],
            next=[part.next for part in parts],
        )
        if not grown.shape.asked:
            return


@dataclass(frozen=True)
class Known:
    """The sums of a node, and its table of sums by column and bin, shape (columns, 1 + bins, 2); None before it is summed."""

    sums: Pair
    table: Sums | None = None


class Grown:
    """The trees of one round, with the sums of their nodes."""

    def __init__(self, plan: Plan, start: Start) -> None:
        self._start, self._units, self._outputs = start, start.units, plan.outputs
        self._growth = plan.growth(1.0)
        self.shape = Shape(start.binner, plan.outputs, 0)
        self._known: dict[int, Known] = {}
        self._siblings: dict[int, tuple[int, int]] = {}

    @property
    def count(self) -> int:
        """How many sums are asked for at this level."""
        return len(self.shape.asked) * int(self._start.cells.sum()) * 2

    def level(self, flat: npt.NDArray[np.int64], last: bool) -> list[Part]:
        """The splits of the open nodes that have a good split. Raises :class:`ForeignSums` for sums that do not add up."""
        for number, table in zip(self.shape.asked, self._start.tables(flat), strict=True):
            self._learn(number, table)
            if number in self._siblings:
                parent, other = self._siblings[number]
                whole = self._known[parent].table
                assert whole is not None
                self._learn(other, whole - table)
        parts = (self._part(number, last) for number in self.shape.open)
        return [part for part in parts if part is not None]

    def _learn(self, number: int, table: Sums) -> None:
        totals = table.sum(axis=1)
        known = self._known.get(number) or self._node(number, (int(totals[0, 0]), int(totals[0, 1])))
        if (totals != np.array(known.sums)).any():
            raise ForeignSums()
        self._known[number] = Known(known.sums, table)

    def _part(self, number: int, last: bool) -> Part | None:
        """The split of a node; None if it is not split."""
        known = self._known[number]
        assert known.table is not None
        if not heavy(known.sums, self._units, self._growth):
            return None
        splits = best_splits(known.table, known.sums, self._units, self._growth.rules)
        if not splits:
            return None
        best = splits[0]
        right = known.sums[0] - best.left[0], known.sums[1] - best.left[1]
        deeper = not last and any(heavy(sums, self._units, self._growth) for sums in (best.left, right))
        asked = NEITHER if not deeper else LEFT if best.left[1] <= right[1] else RIGHT
        gain = float(gain_of(best.left, known.sums, self._units, self._growth.rules))
        part = Part(number, SplitRecord(best.column, best.cut, best.missing_left), gain, asked)
        children = part.children(self._outputs)
        for child, sums in zip(children, (best.left, right), strict=True):
            self._node(child, sums)
        for child, other in (children, children[::-1]):
            self._siblings[child] = number, other
        return part

    def _node(self, number: int, sums: Pair) -> Known:
        self._known[number] = Known(sums)
        return self._known[number]

    def nodes(self, what: str) -> Iterator[float]:
        """The values (``what`` is "value") or the covers of all nodes, tree by tree, in the order of the trees."""
        for output, tree in enumerate(self.shape.trees):
            numbers = {at: number for number, at in self.shape.places.items() if self.shape.output(number) == output}
            for at in range(len(tree.party)):
                sums = self._known[numbers[at]].sums
                yield leaf_value(sums, self._units, self._growth) if what == "value" else sums[1] * self._units[1]

    @property
    def flat(self) -> bool:
        """Whether every tree is a single leaf with a value of about zero."""
        return all(tree.party == [LEAF] for tree in self.shape.trees) and all(abs(value) < _FLAT for value in self.nodes("value"))


def _measured(
    session: Session, plan: Plan, start: Start, state: State, sums: Floats, present: list[str], flat: bool
) -> dict[str, Any]:
    """The state after a round. Validation losses are compared only between rounds with the same clients."""
    rows, lost, kept_rows, kept_lost = sums
    if plan.patience is not None and kept_rows < 0.5:
        raise BatchTooSmall("No row is kept for early stopping.", party=session.me)
    unit = loss_unit(plan, start)
    loss = [*state["loss"], float(lost / max(rows, 1.0) * unit)]
    validation = [*state["validation"], float(kept_lost / max(kept_rows, 1.0) * unit)]
    since = state["since"] if state["present"] == present else len(loss) - 1
    best = since + int(np.argmin(validation[since:])) if plan.patience is not None else len(loss) - 1
    stop = flat if plan.patience is None else len(loss) - 1 - best >= plan.patience
    numbers = {"since": since, "kept": best + 1, "stopped": stop}
    return {"loss": loss, "validation": validation, "present": present, **numbers}
