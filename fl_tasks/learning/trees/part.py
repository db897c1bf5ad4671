"""A party's part of a boosted model: its binner and the records of its own splits; at the guest also the trees. Where clients hold
other rows of the same columns, each one's part is the whole model."""

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
"""Stands for the parties of trees whose columns everybody has."""


@dataclass(frozen=True)
class TreePart(ModelPart):
    """``records`` in the order of their making, ``depth`` of the deepest tree that there may be.

    Only at the guest and at clients: ``trees`` over ``parties`` (itself first, as trees count them), and the margin ``base`` of
    every output.
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
        fit = all(0 <= one.column < len(sizes) and 0 <= one.cut <= sizes[one.column] for one in records)
        if not fit or list(encoder.names) != document["names"] or not 1 <= depth <= MOST_DEPTH:
            raise UnfitPart("Records and binned columns differ.")
        parties = tuple(str(party) for party in document.get("parties") or ())
        base = np.asarray(document.get("base") or (), dtype=np.float64)
        trees = tuple(Tree.from_document(one, len(base), len(parties)) for one in document.get("trees") or ())
        own = [n for tree in trees for party, n in zip(tree.party, tree.record, strict=True) if party == 0]
        if not np.isfinite(base).all() or max(own, default=-1) >= len(records) or any(tree.depth > depth for tree in trees):
            raise UnfitPart("Trees and records differ.")
        return cls(encoder=encoder, records=records, depth=depth, parties=parties, trees=trees, base=base, **cls._common(document))

    @property
    def whole(self) -> bool:
        """Whether all columns of the trees are this party's own."""
        return self.parties == (EVERYBODY,)

    def totals(self, x: Codes, batch: int = 65_536) -> Floats:
        """Margins of rows of bin numbers by a whole model, shape (rows, outputs)."""
        found = [np.zeros((0, len(self.base)))]
        for start in range(0, len(x), batch):
            codes = x[start : start + batch]
            found.append(margins(self.trees, self.base, [directions(self.records, codes)], len(codes)))
        return np.concatenate(found)


def importance(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each column brought, by the guest's part: party, column (a host's by name or alias), gain and number of splits.

    The largest gain comes first; gains are shares of their sum.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for tree in document["trees"]:
        for party, column, gain in zip(tree["party"], tree["column"], tree["gain"], strict=True):
            if party != LEAF:
                holder = document["parties"][party]
                names = document["names"] if party == 0 else document["host_names"][holder]
                entry = found.setdefault((holder, names[column]), [0.0, 0])
                entry[0] += gain
                entry[1] += 1
    whole = sum(gain for gain, _ in found.values()) or 1.0
    rows = [
        {"party": party, "column": column, "gain": gain / whole, "splits": int(splits)}
        for (party, column), (gain, splits) in found.items()
    ]
    return sorted(rows, key=lambda row: (-row["gain"], row["party"], row["column"]))
