"""A network's part: what was trained is what is read, and what does not fit is refused."""

from __future__ import annotations

import copy

import numpy as np
import pyarrow as pa
import pytest

from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.learning.nets.dense import Dense
from tombolo.fl_tasks.learning.nets.layers import layers_document
from tombolo.fl_tasks.models.part import UnfitPart
from tombolo.fl_tasks.models.reading import part_of_document, part_of_file
from tombolo.fl_tasks.models.tensors import to_file
from tombolo.fl_tasks.protocols.horizontal_mlp.model import NetworkPart
from tombolo.fl_tasks.tables.encoding import Column, Encoder

NET = Dense((2, 4, 3), "tanh")
W = NET.initial(Prf(bytes(32)).stream("w"))
ENCODER = Encoder((Column("a", "numeric", "reject"), Column("b", "numeric", "mean", 1.0)), ("a", "b"), (0.5, 1.0), (2.0, 3.0))
TABLE = pa.table({"a": [0.0, 1.0, 5.0], "b": [1.0, None, 4.0]})


def document(outputs: int = 3, **changes):
    net = Dense((2, 4, outputs), "tanh")
    common = {"protocol": "horizontal-mlp", "names": ["a", "b"], "encoder": ENCODER.to_document(), "loss": [1.0], "rounds": 1}
    layers = layers_document(net, W[: net.count])
    return {**common, "layers": layers, "activation": "tanh", "label_mean": 0.0, "label_scale": 1.0, **changes}


def test_what_is_kept_is_what_is_read():
    part = part_of_file(to_file(document()))
    assert isinstance(part, NetworkPart)
    assert np.array_equal(part.w, W)
    assert part.net == NET
    x = ENCODER.transform(TABLE)
    assert part.totals(x, batch=2) == pytest.approx(NET.outputs(W, x))
    assert part.totals(x[:0]).shape == (0, 3)


def test_a_number_is_told_in_its_own_units():
    part = part_of_document(document(1, label_mean=100.0, label_scale=7.0))
    x = ENCODER.transform(TABLE)
    raw = part.net.outputs(part.w, x)[:, 0]
    assert part.totals(x) == pytest.approx(raw * 7 + 100)


@pytest.mark.parametrize(
    "damage",
    [
        lambda one: one.update(layers=one["layers"][:0]),
        lambda one: one.pop("layers"),
        lambda one: one["layers"][0].update(weights=one["layers"][0]["weights"][:-1]),
        lambda one: one["layers"][1].update(biases=np.zeros(4)),
        lambda one: one["layers"][0]["biases"].__setitem__(0, float("nan")),
        lambda one: one["layers"][0].update(weights="much"),
        lambda one: one.update(names=["b", "a"]),
        lambda one: one.update(activation="sine"),
        lambda one: one.update(label_scale=float("inf")),
    ],
)
def test_a_damaged_part_is_refused(damage):
    made = copy.deepcopy(document())
    damage(made)
    with pytest.raises(UnfitPart):
        part_of_document(made)
