"""The part of a party in a vertical network: its layers, and its shares of the weights between the parties."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.learning.nets.dense import Dense
from tombolo.fl_tasks.learning.nets.layers import read_layers
from tombolo.fl_tasks.models.part import ModelPart, UnfitPart
from tombolo.fl_tasks.shares import wide
from tombolo.fl_tasks.tables.encoding import Encoder

Grid = npt.NDArray[np.object_]


@dataclass(frozen=True)
class NetworkPart(ModelPart):
    """The net ``bottom`` over the encoded columns of this party, its weights ``w``, and ``shares`` (units, sums) by host.

    At the guest, the net ``top`` with its weights ``above`` goes from the joint units to the outputs; hosts have no ``top``. A
    predicted number is the output times ``label_scale``, plus ``label_mean``.
    """

    encoder: Encoder
    bottom: Dense
    w: npt.NDArray[np.float64]
    shares: dict[str, Grid]
    top: Dense | None
    above: npt.NDArray[np.float64]
    label_mean: float
    label_scale: float

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """Read a part from its document. Raises UnfitPart."""
        encoder = Encoder.from_document(document["encoder"])
        bottom, w = read_layers(document["layers"], len(encoder.names), document["activation"])
        if list(encoder.names) != document["names"]:
            raise UnfitPart("The layers do not fit the encoded columns.")
        shares = {str(party): _grid(words) for party, words in document["shares"].items()}
        top, above, sums = None, np.zeros(0), {grid.shape[1] for grid in shares.values()}
        if document["top"]:
            top, above = read_layers(document["top"], bottom.sizes[-1], document["activation"])
        units = bottom.sizes[1]
        if len(sums) != 1 or any(len(grid) != units for grid in shares.values()) or (top is not None and sums != {top.sizes[0]}):
            raise UnfitPart("The layers do not fit the shares of the weights.")
        label = float(document["label_mean"]), float(document["label_scale"])
        if not np.isfinite(label).all():
            raise UnfitPart("The mean or the scale of the label is not finite.")
        return cls(
            encoder=encoder,
            bottom=bottom,
            w=w,
            shares=shares,
            top=top,
            above=above,
            label_mean=label[0],
            label_scale=label[1],
            **cls._common(document),
        )


def shares_document(shares: Mapping[str, Any]) -> dict[str, wide.Wide]:
    """The shares as integers in two's complement, shape (units, sums, words), with the lowest 64 bits first."""
    return {party: wide.of_integers(np.array(rows, dtype=object)) for party, rows in shares.items()}


def _grid(words: Any) -> Grid:
    if not isinstance(words, np.ndarray) or words.dtype != np.uint64 or words.ndim != 3 or words.shape[2] != wide.WORDS:
        raise UnfitPart("The shares are not stored as integers.")
    return wide.integers(words)
