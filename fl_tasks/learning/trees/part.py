"""A party's part of a boosted model: its binner and the records of its own splits; at the guest also the trees. In a
horizontal agreement, the part of each client is the whole model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.learning.trees.bins import Binner, Codes
from tombolo.fl_tasks.learning.trees.tree import LEAF, MOST_DEPTH, SplitRecord, Tree, directions, margins
from tombolo.fl_tasks.models.part import ModelPart, UnfitPart

Floats = npt.NDArray[np.float64]
EVERYBODY = ""
"""The party in trees whose columns all clients have."""


@dataclass(frozen=True)
class TreePart(ModelPart):
    """``records`` in the order in which they were made; no tree is deeper than ``depth``.

    Only at the guest and at clients: ``trees`` over ``parties`` (this party first, in the order that trees use), and the margin
    ``base`` of every output.
    """

    encoder: Binner
    records: tuple[SplitRecord, ...]
    depth: int
    parties: tuple[str, ...]
    trees: tuple[Tree, ...]
    base: Floats

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        encoder, depth = Binner.from_document(document["encoder"]), int(document["depth"])
        records = tuple(SplitRecord(int(column), int(cut), bool(missing)) for column, cut, missing in document["records"])
        sizes = encoder.sizes
        fit = all(0 <= record.column < len(sizes) and 0 <= record.cut <= sizes[record.column] for record in records)
        if not fit or list(encoder.names) != document["names"] or not 1 <= depth <= MOST_DEPTH:
            raise UnfitPart("The records do not match the binned columns.")
        parties = tuple(str(party) for party in document.get("parties") or ())
        base = np.asarray(document.get("base") or (), dtype=np.float64)
        trees = tuple(Tree.from_document(tree, len(base), len(parties)) for tree in document.get("trees") or ())
        own = [n for tree in trees for party, n in zip(tree.party, tree.record, strict=True) if party == 0]
        if not np.isfinite(base).all() or max(own, default=-1) >= len(records) or any(tree.depth > depth for tree in trees):
            raise UnfitPart("The trees do not match the records.")
        return cls(encoder=encoder, records=records, depth=depth, parties=parties, trees=trees, base=base, **cls._common(document))

    @property
    def whole(self) -> bool:
        """Whether all columns of the trees are this party's own."""
        return self.parties == (EVERYBODY,)

    def totals(self, x: Codes, batch: int = 65_536) -> Floats:
        """Margins of rows of bin numbers by a whole model, shape (rows, outputs)."""
        pieces = [np.zeros((0, len(self.base)))]
        for start in range(0, len(x), batch):
            codes = x[start : start + batch]
            pieces.append(margins(self.trees, self.base, [directions(self.records, codes)], len(codes)))
        return np.concatenate(pieces)


def importance(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The importance of each column, from the guest's part: party, column (a host's by name or alias), gain and number of splits.

    The largest gain comes first; gains are shares of their sum.
    """
    by_column: dict[tuple[str, str], list[float]] = {}
    for tree in document["trees"]:
        for party, column, gain in zip(tree["party"], tree["column"], tree["gain"], strict=True):
            if party != LEAF:
                holder = document["parties"][party]
                names = document["names"] if party == 0 else document["host_names"][holder]
                entry = by_column.setdefault((holder, names[column]), [0.0, 0])
                entry[0] += gain
                entry[1] += 1
    whole = sum(gain for gain, _ in by_column.values()) or 1.0
    rows = [
        {"party": party, "column": column, "gain": gain / whole, "splits": int(splits)}
        for (party, column), (gain, splits) in by_column.items()
    ]
    return sorted(rows, key=lambda row: (-row["gain"], row["party"], row["column"]))
