"""The trees of one round while they grow, as the aggregator and all clients know them: who is split how, and what is asked next."""

from __future__ import annotations

from dataclasses import dataclass

from tombolo.fl_tasks.learning.trees.bins import Binner
from tombolo.fl_tasks.learning.trees.growing import left_number
from tombolo.fl_tasks.learning.trees.tree import SplitRecord, Tree

NEITHER, LEFT, RIGHT = 0, 1, 2


@dataclass(frozen=True)
class Part:
    """A node that is split, and which child's sums are asked for next; the other's are the node's less those."""

    node: int
    record: SplitRecord
    gain: float
    next: int

    def children(self, outputs: int) -> tuple[int, int]:
        first = left_number(self.node, outputs)
        return first, first + outputs


class Shape:
    """One tree per output; nodes are numbered as :func:`tombolo.fl_tasks.learning.trees.growing.left_number` counts.

    ``records`` begin at number ``first``; ``open`` are the nodes that may be split, ``asked`` those whose sums are taken.
    """

    def __init__(self, binner: Binner, outputs: int, first: int) -> None:
        self._binner, self._outputs, self._first = binner, outputs, first
        self.trees = [Tree(output) for output in range(outputs)]
        self.records: list[SplitRecord] = []
        self.asked = [outputs + output for output in range(outputs)]
        self.open = list(self.asked)
        self.places = {number: self.trees[self.output(number)].add(0.0, 0.0) for number in self.asked}

    def output(self, node: int) -> int:
        """Whose tree a node belongs to."""
        return node % self._outputs

    def fits(self, parts: list[Part]) -> bool:
        """Whether these can be splits of the open nodes."""
        nodes, sizes = [one.node for one in parts], self._binner.sizes
        return nodes == [node for node in self.open if node in set(nodes)] and all(
            0 <= one.record.column < len(sizes)
            and 0 <= one.record.cut <= sizes[one.record.column]
            and one.next in (NEITHER, LEFT, RIGHT)
            for one in parts
        )

    def split(self, parts: list[Part]) -> None:
        """Take in the splits of a level."""
        self.open, self.asked = [], []
        for one in parts:
            tree, children = self.trees[self.output(one.node)], one.children(self._outputs)
            self.places |= {number: tree.add(0.0, 0.0) for number in children}
            left, right = (self.places[number] for number in children)
            self.records.append(one.record)
            number = self._first + len(self.records) - 1
            tree.split(self.places[one.node], 0, number, one.record.column, one.gain, left, right)
            if one.next != NEITHER:
                self.open += children
                self.asked.append(children[one.next - LEFT])
