"""Trees as the label holder keeps them: the party and the record of each split, and the value of each leaf.

A record is a party's own knowledge of one split: column, cut and where missing values go. It stays with that party; a tree names it
by party and number only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.learning.trees.bins import Codes

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
LEAF = -1
MOST_DEPTH = 8
MOST_NODES = 1 << 20
"""The most nodes or splits that one message is about."""


class SplitRecord(NamedTuple):
    """Rows whose bin in ``column`` is at most ``cut`` go left, missing values (bin 0) if ``missing_left``."""

    column: int
    cut: int
    missing_left: bool

    def left(self, codes: Codes) -> Bools:
        """Which rows go left; shape (rows,)."""
        own = codes[:, self.column]
        return np.where(own == 0, self.missing_left, own <= self.cut).astype(np.bool_)


@dataclass
class Tree:
    """One tree of one output: nodes in the order in which they were made, the root first; all lists have one entry per node.

    ``party`` is the number of a data party (the guest is 0, then the hosts), or :data:`LEAF`; ``column`` is what the label
    holder calls the column, an alias if it is a host's; ``value`` is the leaf's addend to the margin, in single precision;
    ``cover`` is the sum of h.
    """

    output: int
    party: list[int] = field(default_factory=list)
    record: list[int] = field(default_factory=list)
    column: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    gain: list[float] = field(default_factory=list)
    cover: list[float] = field(default_factory=list)

    def add(self, value: float, cover: float) -> int:
        """Add a leaf; returns its number."""
        for numbers in (self.party, self.record, self.column, self.left, self.right):
            numbers.append(LEAF)
        for column, entry in ((self.value, value), (self.gain, 0.0), (self.cover, cover)):
            column.append(entry)
        return len(self.party) - 1

    def split(self, node: int, party: int, record: int, column: int, gain: float, left: int, right: int) -> None:
        """Make a leaf an inner node."""
        self.party[node], self.record[node], self.column[node], self.gain[node] = party, record, column, gain
        self.left[node], self.right[node] = left, right

    @property
    def depth(self) -> int:
        """The longest way from the root, in splits."""
        deep = [0] * len(self.party)
        for node in reversed(range(len(deep))):
            if self.party[node] != LEAF:
                deep[node] = 1 + max(deep[self.left[node]], deep[self.right[node]])
        return deep[0]

    def document(self) -> dict[str, Any]:
        """The tree as JSON."""
        names = ("party", "record", "column", "left", "right", "value", "gain", "cover")
        return {"output": self.output, **{name: list(getattr(self, name)) for name in names}}

    @classmethod
    def from_document(cls, document: Mapping[str, Any], outputs: int, parties: int) -> Tree:
        """Inverse of :meth:`document`; raises KeyError, TypeError or ValueError on anything that is no tree."""
        whole = ([int(number) for number in document[name]] for name in ("party", "record", "column", "left", "right"))
        party, record, column, left, right = whole
        value, gain, cover = ([float(number) for number in document[name]] for name in ("value", "gain", "cover"))
        tree = cls(int(document["output"]), party, record, column, left, right, value, gain, cover)
        count = len(party)
        if (
            not 0 <= tree.output < outputs
            or not count
            or {len(numbers) for numbers in (record, column, left, right, value, gain, cover)} != {count}
        ):
            raise ValueError("not a tree")
        for node in range(count):
            children = (left[node], right[node])
            inner = (
                0 <= party[node] < parties
                and min(record[node], column[node]) >= 0
                and all(node < child < count for child in children)
            )
            if not (inner or party[node] == LEAF) or not np.isfinite([value[node], gain[node], cover[node]]).all():
                raise ValueError("a node is neither leaf nor split")
        return tree


def directions(records: Sequence[SplitRecord], codes: Codes) -> Bools:
    """Which rows go left at each record, shape (records, rows)."""
    return np.array([record.left(codes) for record in records], dtype=np.bool_).reshape(len(records), len(codes))


def leaves(tree: Tree, left_at: Sequence[Bools], rows: int) -> npt.NDArray[np.int64]:
    """The leaf that each row ends in; ``left_at[party]`` are that party's directions, shape (records, rows)."""
    at = np.zeros(rows, dtype=np.int64)
    for node in range(len(tree.party)):
        if tree.party[node] != LEAF:
            here = np.flatnonzero(at == node)
            left = left_at[tree.party[node]][tree.record[node], here]
            at[here] = np.where(left, tree.left[node], tree.right[node])
    return at


def margins(trees: Iterable[Tree], base: Floats, left_at: Sequence[Bools], rows: int) -> Floats:
    """Margins of rows, shape (rows, outputs): base plus the values of the leaves."""
    total = np.tile(np.asarray(base, dtype=np.float64), (rows, 1))
    for tree in trees:
        total[:, tree.output] += np.asarray(tree.value)[leaves(tree, left_at, rows)]
    return total
