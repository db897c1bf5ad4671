"""A vertical network's part: what was trained is what is read, and what does not fit is refused."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.learning.nets.dense import Dense
from tombolo.fl_tasks.learning.nets.layers import layers_document
from tombolo.fl_tasks.models.part import UnfitPart
from tombolo.fl_tasks.models.reading import part_of_document, part_of_file
from tombolo.fl_tasks.models.tensors import to_file
from tombolo.fl_tasks.protocols.vertical_mlp.part import NetworkPart, shares_document
from tombolo.fl_tasks.tables.encoding import Column, Encoder

ENCODER = Encoder((Column("a", "numeric", "reject"), Column("b", "numeric", "mean", 1.0)), ("a", "b"), (0.5, 1.0), (2.0, 3.0))
SHARE = [[2**190 + 1, -5], [-(2**191), 2**64], [0, 1]]


def document(guest: bool = True):
    prf = Prf(bytes(32))
    bottom = Dense((2, 3, 2) if guest else (2, 3), "tanh")
    top = Dense((2, 4, 1), "tanh")
    shares = shares_document({"lab": SHARE, "bank": SHARE} if guest else {"lab": SHARE})
    return {
        **{"protocol": "vertical-mlp", "names": ["a", "b"], "encoder": ENCODER.to_document(), "loss": [1.0], "rounds": 1},
        "layers": layers_document(bottom, bottom.initial(prf.stream("bottom"))),
        "top": layers_document(top, top.initial(prf.stream("top"))) if guest else [],
        **{"activation": "tanh", "shares": shares, "label_mean": 2.0, "label_scale": 3.0},
    }


@pytest.mark.parametrize("guest", [True, False])
def test_what_is_kept_is_what_is_read(guest):
    part = part_of_file(to_file(document(guest)))
    assert isinstance(part, NetworkPart)
    assert part.shares["lab"].tolist() == SHARE
    assert (part.top is None) != guest and part.bottom.sizes == ((2, 3, 2) if guest else (2, 3))
    assert (part.label_mean, part.label_scale) == (2.0, 3.0)
    assert np.isfinite(part.w).all()


@pytest.mark.parametrize(
    "damage",
    [
        lambda one: one.pop("top"),
        lambda one: one.update(names=["b", "a"]),
        lambda one: one.update(activation="sine"),
        lambda one: one.update(label_scale=float("nan")),
        lambda one: one["shares"].clear(),
        lambda one: one["shares"].update(lab=one["shares"]["lab"][:-1]),
        lambda one: one["shares"].update(lab=one["shares"]["lab"][:, :1]),
        lambda one: one["shares"].update(lab=one["shares"]["lab"][:, :, :2]),
        lambda one: one["shares"].update(lab=one["shares"]["lab"].astype(float)),
        lambda one: one["shares"].update(lab="much"),
        lambda one: one["top"][0].update(biases=np.zeros(5)),
    ],
)
def test_a_damaged_part_is_refused(damage):
    made = copy.deepcopy(document())
    damage(made)
    with pytest.raises(UnfitPart):
        part_of_document(made)
