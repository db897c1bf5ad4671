"""The growing trees of one round, as the aggregator and all clients know them: which nodes are split, and whose sums come next."""

from __future__ import annotations

from dataclasses import dataclass

from tombolo.fl_tasks.learning.trees.bins import Binner
from tombolo.fl_tasks.learning.trees.growing import left_number
from tombolo.fl_tasks.learning.trees.tree import SplitRecord, Tree

NEITHER, LEFT, RIGHT = 0, 1, 2


@dataclass(frozen=True)
class Part:
    """A node that is split. ``next`` says which child is summed; the sums of the other child are the difference to the node."""

    node: int
    record: SplitRecord
    gain: float
    next: int

    def children(self, outputs: int) -> tuple[int, int]:
        """The numbers of the left and the right child."""
        first = left_number(self.node, outputs)
        return first, first + outputs


class Shape:
    """One tree per output; nodes are numbered as :func:`tombolo.fl_tasks.learning.trees.growing.left_number` counts.

    ``records`` are numbered from ``first``. ``open`` are the nodes that may be split, ``asked`` the nodes that are summed.
    """

    def __init__(self, binner: Binner, outputs: int, first: int) -> None:
        self._binner, self._outputs, self._first = binner, outputs, first
        self.trees = [Tree(output) for output in range(outputs)]
        self.records: list[SplitRecord] = []
        self.asked = [outputs + output for output in range(outputs)]
        self.open = list(self.asked)
        self.places = {number: self.trees[self.output(number)].add(0.0, 0.0) for number in self.asked}

    def output(self, node: int) -> int:
        """The output whose tree a node belongs to."""
        return node % self._outputs

    def fits(self, parts: list[Part]) -> bool:
        """Whether these are possible splits of the open nodes."""
        nodes, sizes = [part.node for part in parts], self._binner.sizes
        return nodes == [node for node in self.open if node in set(nodes)] and all(
            0 <= part.record.column < len(sizes)
            and 0 <= part.record.cut <= sizes[part.record.column]
            and part.next in (NEITHER, LEFT, RIGHT)
            for part in parts
        )

    def split(self, parts: list[Part]) -> None:
        """Add the splits of a level to the trees."""
        self.open, self.asked = [], []
        for part in parts:
            tree, children = self.trees[self.output(part.node)], part.children(self._outputs)
            self.places |= {number: tree.add(0.0, 0.0) for number in children}
            left, right = (self.places[number] for number in children)
            self.records.append(part.record)
            number = self._first + len(self.records) - 1
            tree.split(self.places[part.node], 0, number, part.record.column, part.gain, left, right)
            if part.next != NEITHER:
                self.open += children
                self.asked.append(children[part.next - LEFT])
