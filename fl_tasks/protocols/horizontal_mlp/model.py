"""A joint network: its layers, and the common encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tombolo.agreements.parameters import NETWORKS
from tombolo.fl_tasks.learning.nets.dense import Dense
from tombolo.fl_tasks.models.part import ModelPart, UnfitPart
from tombolo.fl_tasks.tables.encoding import Encoder

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class NetworkPart(ModelPart):
    """Weights ``w`` of the network ``net``; predicted numbers are its output times ``label_scale``, plus ``label_mean``."""

    PROTOCOLS = NETWORKS
    encoder: Encoder
    net: Dense
    w: Floats
    label_mean: float
    label_scale: float

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        encoder = Encoder.from_document(document["encoder"])
        net, w = read_layers(document["layers"], len(encoder.names), document["activation"])
        label = float(document["label_mean"]), float(document["label_scale"])
        if list(encoder.names) != document["names"] or not np.isfinite(label).all():
            raise UnfitPart("Layers and encoded columns differ.")
        return cls(encoder=encoder, net=net, w=w, label_mean=label[0], label_scale=label[1], **cls._common(document))

    def totals(self, table: pa.Table, batch: int = 65_536) -> Floats:
        """The score of each row: a number or a logit, shape (n,), or one per class, shape (n, classes)."""
        pieces = [
            self.net.outputs(self.w, self.encoder.transform(table.slice(start, batch)))
            for start in range(0, max(table.num_rows, 1), batch)
        ]
        outputs = np.concatenate(pieces) * self.label_scale + self.label_mean
        return outputs if self.net.sizes[-1] > 1 else outputs[:, 0]


def layers_document(net: Dense, w: Floats) -> list[dict[str, Any]]:
    """Layer by layer, weights of shape (inputs, outputs) and biases (outputs,)."""
    return [{"weights": weights, "biases": biases} for weights, biases in net.layers(w)]


def read_layers(given: Sequence[Mapping[str, Any]], inputs: int, activation: str) -> tuple[Dense, Floats]:
    """The network of a :func:`layers_document` and its weights, shape (count,). Raises :class:`UnfitPart`."""
    layers = [(np.asarray(one["weights"], np.float64), np.asarray(one["biases"], np.float64)) for one in given]
    net = Dense((inputs, *(len(biases) for _, biases in layers)), activation)
    shapes = [(weights.shape, biases.shape) for weights, biases in net.layers(np.zeros(net.count))]
    w = np.concatenate([part.ravel() for layer in layers for part in layer])
    fits = [(weights.shape, biases.shape) for weights, biases in layers] == shapes
    if not fits or not np.isfinite(w).all() or activation not in ("relu", "tanh"):
        raise UnfitPart("Layers and encoded columns differ.")
    return net, w
