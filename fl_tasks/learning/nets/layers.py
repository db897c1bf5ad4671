"""Networks as documents: layer by layer, weights and biases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.learning.nets.dense import Dense
from tombolo.fl_tasks.models.part import UnfitPart

Floats = npt.NDArray[np.float64]


def layers_document(net: Dense, w: Floats) -> list[dict[str, Any]]:
    """Layer by layer, weights of shape (inputs, outputs) and biases (outputs,)."""
    return [{"weights": weights, "biases": biases} for weights, biases in net.layers(w)]


def read_layers(given: Sequence[Mapping[str, Any]], inputs: int, activation: str) -> tuple[Dense, Floats]:
    """The network of a :func:`layers_document` and its weights, shape (count,). Raises :class:`UnfitPart`."""
    layers = [(np.asarray(layer["weights"], np.float64), np.asarray(layer["biases"], np.float64)) for layer in given]
    net = Dense((inputs, *(len(biases) for _, biases in layers)), activation)
    shapes = [(weights.shape, biases.shape) for weights, biases in net.layers(np.zeros(net.count))]
    w = np.concatenate([part.ravel() for layer in layers for part in layer])
    fits = [(weights.shape, biases.shape) for weights, biases in layers] == shapes
    if not fits or not np.isfinite(w).all() or activation not in ("relu", "tanh"):
        raise UnfitPart("The layers do not match the encoded columns.")
    return net, w
