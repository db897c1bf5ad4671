"""Dealt products: addends make up X^T d for any shapes and values, and whatever is wrong in one of them shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.fl_tasks.shares.dealt import Masks, Matrix, WrongProduct, dealer_addend, peer_addend

SHAPES = st.tuples(st.integers(1, 30), st.lists(st.integers(1, 5), min_size=2, max_size=4), st.integers(0, 2**32))
VECTOR = [16776993125319662258, 10493904327132595151, 4533389409103543246, 517764280360727795]
EXTREMES = st.sampled_from([0, 1, -1, 2**62, -(2**62), 2**63 - 1, -(2**63)])


@dataclass
class Parties:
    """All parties of one product, in one place: owner ``k`` has the columns ``xs[k]`` and the share ``shares[k]`` of d."""

    xs: list[np.ndarray]
    shares: list[np.ndarray]
    seed: int = 0

    def __post_init__(self):
        random = np.random.default_rng(self.seed)
        self.masks = [Masks(random.bytes(32)) for _ in self.xs]
        weights = [random.integers(0, 2**64, x.shape[1], np.uint64) for x in self.xs]
        self.matrices = [Matrix.of(x, w) for x, w in zip(self.xs, weights, strict=True)]
        rows = len(self.xs[0])
        self.b = [one.residual(1, rows) for one in self.masks]
        self.f = np.sum([s - b for s, b in zip(self.shares, self.b, strict=True)], axis=0, dtype=np.uint64)

    def addends(self, owner: int) -> list[np.ndarray]:
        """The owner's own, every peer's, the dealer's."""
        width = self.matrices[owner].x.shape
        others = [at for at in range(len(self.xs)) if at != owner]
        pads = [self.masks[at].pad(1, str(owner), width[1]) for at in others]
        masked = self.matrices[owner].masked(self.masks[owner])
        found = [self.matrices[owner].own_addend(self.f, self.b[owner])]
        found += [peer_addend(masked, self.b[at], pad) for at, pad in zip(others, pads, strict=True)]
        b = np.sum([self.b[at] for at in others], axis=0, dtype=np.uint64)
        return [*found, dealer_addend(self.masks[owner].matrix(*width), b, pads)]

    def opened(self, owner: int) -> np.ndarray:
        return self.matrices[owner].checked(np.sum(self.addends(owner), axis=0, dtype=np.uint64))

    def exact(self, owner: int) -> list[int]:
        d = [sum(int(one[row]) for one in self.shares) for row in range(len(self.xs[0]))]
        return [sum(int(a) * b for a, b in zip(column, d, strict=True)) % 2**64 for column in self.xs[owner].T]


def parties(rows: int, widths: list[int], seed: int) -> Parties:
    random = np.random.default_rng(seed)
    xs = [random.integers(-(2**34), 2**34, (rows, width)) for width in widths]
    return Parties(xs, [random.integers(0, 2**64, rows, np.uint64) for _ in widths], seed)


@given(SHAPES)
def test_the_addends_make_up_the_product(shape):
    made = parties(*shape)
    for owner in range(len(made.xs)):
        assert made.opened(owner).tolist() == made.exact(owner)


@given(st.lists(st.tuples(EXTREMES, EXTREMES, EXTREMES, EXTREMES), min_size=1, max_size=8))
def test_extremes_wrap_alike(rows):
    table = np.array(rows, dtype=np.int64)
    made = Parties([table[:, :1], table[:, 1:2]], [table[:, 2].copy().view(np.uint64), table[:, 3].copy().view(np.uint64)])
    assert made.opened(0).tolist() == made.exact(0)


@given(SHAPES, st.integers(0, 2**63), st.data())
def test_any_wrong_addend_shows(shape, noise, data):
    """To go unseen it would need a second one, in the checksum, that fits the owner's secret weights."""
    made = parties(*shape)
    owner = data.draw(st.integers(0, len(made.xs) - 1))
    addends = made.addends(owner)
    wrong = data.draw(st.integers(0, len(addends) - 1))
    column = data.draw(st.integers(0, len(addends[wrong]) - 1))
    addends[wrong] = addends[wrong].copy()
    addends[wrong][column : column + 1] += np.uint64(2 * noise + 1 & 2**64 - 1)
    with pytest.raises(WrongProduct):
        made.matrices[owner].checked(np.sum(addends, axis=0, dtype=np.uint64))


def test_masks_of_another_round_party_or_purpose_differ():
    masks, other = Masks(bytes(32)), Masks(bytes(31) + b"\1")
    drawn = [masks.residual(1, 9), masks.residual(2, 9), masks.sigmoid(1, 9), masks.pad(1, "a", 9), masks.pad(1, "b", 9)]
    drawn += [masks.matrix(9, 1).ravel(), other.residual(1, 9), other.matrix(9, 1).ravel()]
    assert len({int(value) for one in drawn for value in one}) == 8 * 9


def test_a_seed_gives_the_same_masks_on_every_machine():
    masks = Masks(bytes(range(32)))
    assert [masks.residual(3, 1)[0], masks.pad(3, "lab", 1)[0], masks.sigmoid(3, 1)[0], masks.matrix(1, 1)[0, 0]] == VECTOR
