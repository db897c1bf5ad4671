"""Grows the trees of one round level by level, over columns of several parties (SecureBoost, algorithm 3; Cheng et al. 2019).

With a :class:`PartyColumns` the label holder works with the columns of one party: its own in the clear, and a host's through
messages. For a pooled model on one machine, the columns of all parties are in the clear. Histograms are made for the smaller child
of a split only; those of the larger child are the parent's minus the smaller child's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.learning.trees.bins import Codes
from tombolo.fl_tasks.learning.trees.splits import Pair, Rules, Split, Sums, best_splits
from tombolo.fl_tasks.learning.trees.tree import Bools, SplitRecord, Tree

RowNumbers = npt.NDArray[np.int64]


@dataclass
class Node:
    """A node that may be split; :func:`left_number` explains ``number``. ``used`` says which of its ``rows`` count."""

    number: int
    output: int
    at: int
    rows: RowNumbers
    used: Bools
    sums: Pair
    units: tuple[float, float]
    histograms: list[Sums] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How many rows count."""
        return int(self.used.sum())


@dataclass(frozen=True)
class Choice:
    """A node to split. The candidates have the same gain; the source takes the one of its first column."""

    node: Node
    splits: list[Split]


@dataclass(frozen=True)
class Parted:
    """A node that was split: which of its rows went left, the number of the source's record, and the column (or its alias)."""

    node: Node
    record: int
    column: int
    left: Bools


class PartyColumns(Protocol):
    """One party's columns."""

    def histograms(self, nodes: Sequence[Node]) -> list[Sums]:
        """For each node the sums of its counting rows per column and bin, shape (columns, 1 + bins, 2)."""

    def apply(self, choices: Sequence[Choice]) -> list[Parted]:
        """Split these nodes; the answer is in their order."""

    def follow(self, parted: Sequence[Parted]) -> None:
        """Learn which rows of these nodes went left. At least one child of each node may be split."""


@dataclass(frozen=True)
class Derivatives:
    """Integer g and h of one output, shape (rows,), and what one unit of each is worth."""

    g: npt.NDArray[np.int64]
    h: npt.NDArray[np.int64]
    units: tuple[float, float]

    def total(self, rows: RowNumbers) -> Pair:
        """The sums of g and h over ``rows``."""
        return int(self.g[rows].sum()), int(self.h[rows].sum())


def left_number(number: int, outputs: int) -> int:
    """The number of a node's left child; the right child's is ``outputs`` more. The root of output k has ``outputs + k``."""
    return 2 * number - number % outputs


class Local:
    """Columns in the clear. ``kept`` are the columns that this round may use; new records are numbered from ``first``."""

    def __init__(self, codes: Codes, bins: int, derivatives: Sequence[Derivatives], kept: RowNumbers, first: int) -> None:
        self._codes, self._bins, self._derivatives = codes, bins, derivatives
        self._kept, self._first = kept, first
        self.records: list[SplitRecord] = []

    def histograms(self, nodes: Sequence[Node]) -> list[Sums]:
        """Plain sums by bin; exact, as all of them stay below 2^53."""
        return [self._histogram(node) for node in nodes]

    def _histogram(self, node: Node) -> Sums:
        rows, width, columns = node.rows[node.used], self._bins + 1, self._codes.shape[1]
        histogram = np.zeros((columns, width, 2), dtype=np.int64)
        derivative = self._derivatives[node.output]
        g, h = derivative.g[rows].astype(np.float64), derivative.h[rows].astype(np.float64)
        for column in self._kept.tolist():
            codes = self._codes[rows, column]
            histogram[column, :, 0] = np.bincount(codes, weights=g, minlength=width)
            histogram[column, :, 1] = np.bincount(codes, weights=h, minlength=width)
        return histogram

    def apply(self, choices: Sequence[Choice]) -> list[Parted]:
        """Keep a record of each split, and return which rows go left."""
        parted = []
        for choice in choices:
            split = choice.splits[0]
            record = SplitRecord(split.column, split.cut, split.missing_left)
            self.records.append(record)
            number = self._first + len(self.records) - 1
            parted.append(Parted(choice.node, number, split.column, record.left(self._codes[choice.node.rows])))
        return parted

    def follow(self, parted: Sequence[Parted]) -> None:
        """Nothing to do: the nodes carry their rows."""


@dataclass(frozen=True)
class Growth:
    """The largest depth of trees, the learning rate, and the rules of splits."""

    depth: int
    rate: float
    rules: Rules


def grow(
    sources: Sequence[PartyColumns], derivatives: Sequence[Derivatives], rows: int, used: RowNumbers, growth: Growth
) -> tuple[list[Tree], list[RowNumbers]]:
    """One tree per output, and for each tree the leaf of every row; ``used`` are the rows that count.

    Sources are asked in order. If gains are equal, the column of the earlier source wins.
    """
    outputs = len(derivatives)
    counting = np.zeros(rows, dtype=np.bool_)
    counting[used] = True
    trees, nodes = [Tree(output) for output in range(outputs)], []
    places = [np.zeros(rows, dtype=np.int64) for _ in range(outputs)]
    for output, derivative in enumerate(derivatives):
        total = derivative.total(used)
        at = trees[output].add(leaf_value(total, derivative.units, growth), total[1] * derivative.units[1])
        nodes.append(Node(outputs + output, output, at, np.arange(rows), counting, total, derivative.units))
    nodes = [nodes[output] for output in growing(derivatives, used, growth)]
    fresh, siblings = nodes, list[tuple[Node, Node, Node]]()
    for level in range(growth.depth):
        if not nodes:
            break
        by_source = [source.histograms(fresh) for source in sources]
        for index, node in enumerate(fresh):
            node.histograms = [histograms[index] for histograms in by_source]
        for larger, smaller, parent in siblings:
            larger.histograms = [whole - part for whole, part in zip(parent.histograms, smaller.histograms, strict=True)]
        parted = _split(sources, nodes, growth)
        last = level == growth.depth - 1
        nodes, fresh, siblings, onward = [], [], [], []
        for party, part in parted:
            output = part.node.output
            children = _children(trees[output], party, part, derivatives[output], places[output], growth, outputs)
            going = [] if last else [child for child in children if _may_split(child, growth)]
            if going:
                smaller, larger = sorted(children, key=lambda child: child.size)
                nodes += going
                fresh.append(smaller)
                siblings.append((larger, smaller, part.node))
                onward.append(part)
        if not last:
            for source in sources:
                source.follow(onward)
    return trees, places


def _split(sources: Sequence[PartyColumns], nodes: Sequence[Node], growth: Growth) -> list[tuple[int, Parted]]:
    """The nodes that were split, each with the party that split it, in the order of ``nodes``."""
    chosen: dict[int, tuple[int, Choice]] = {}
    for node in nodes:
        best = 0.0
        for party in range(len(sources)):
            splits = best_splits(node.histograms[party], node.sums, node.units, growth.rules)
            if splits and splits[0].gain > best:
                best = splits[0].gain
                chosen[node.number] = (party, Choice(node, splits))
    done: dict[int, tuple[int, Parted]] = {}
    for party, source in enumerate(sources):
        mine = [choice for holder, choice in chosen.values() if holder == party]
        for parted in source.apply(mine):
            done[parted.node.number] = (party, parted)
    return [(*done[node.number],) for node in nodes if node.number in done]


def _children(
    tree: Tree, party: int, parted: Parted, derivatives: Derivatives, place: RowNumbers, growth: Growth, outputs: int
) -> tuple[Node, Node]:
    """Add both children of a split node to its tree and send its rows there."""
    node, made = parted.node, []
    first = left_number(node.number, outputs)
    for number, side in ((first, parted.left), (first + outputs, ~parted.left)):
        rows, used = node.rows[side], node.used[side]
        total = derivatives.total(rows[used])
        at = tree.add(leaf_value(total, node.units, growth), total[1] * node.units[1])
        place[rows] = at
        made.append(Node(number, node.output, at, rows, used, total, node.units))
    scale = node.units
    gain = float(gain_of(made[0].sums, node.sums, scale, growth.rules))
    tree.split(node.at, party, parted.record, parted.column, gain, made[0].at, made[1].at)
    return made[0], made[1]


def gain_of(left: Pair, whole: Pair, units: tuple[float, float], rules: Rules) -> np.float32:
    """The gain of a split with these sums on the left."""
    g, h = (np.array([left[i], whole[i] - left[i], whole[i]]) * units[i] for i in (0, 1))
    left_score, right_score, whole_score = rules.score(g, h)
    return np.float32(left_score + right_score - whole_score)


def leaf_value(sums: Pair, units: tuple[float, float], growth: Growth) -> float:
    """A leaf's value in single precision, as an exported model holds it."""
    return float(np.float32(np.float32(growth.rules.weight(sums, units)) * np.float32(growth.rate)))


def growing(derivatives: Sequence[Derivatives], used: RowNumbers, growth: Growth) -> list[int]:
    """The outputs whose root is heavy enough to be split."""
    return [
        at
        for at, derivative in enumerate(derivatives)
        if len(used) >= 2 and heavy(derivative.total(used), derivative.units, growth)
    ]


def _may_split(node: Node, growth: Growth) -> bool:
    return node.size >= 2 and heavy(node.sums, node.units, growth)


def heavy(sums: Pair, units: tuple[float, float], growth: Growth) -> bool:
    """Whether a node is heavy enough to be split."""
    return sums[1] * units[1] >= 2 * growth.rules.least
