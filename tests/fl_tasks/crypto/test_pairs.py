"""Pairs in one plaintext: sums of both members come out exactly, also under encryption and compression."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_tasks.crypto.errors import MalformedPacking, OutOfRange
from fl_tasks.crypto.histogram import bin_sums, compress
from fl_tasks.crypto.packing import unpack
from fl_tasks.crypto.pairs import Pairs
from fl_tasks.crypto.vector import CipherVector, decrypt, encrypt

LIMIT = 1 << 24


@given(st.lists(st.tuples(st.integers(-LIMIT, LIMIT), st.integers(0, LIMIT)), min_size=1, max_size=60))
def test_sums_are_exact(values):
    pairs = Pairs(24, len(values))
    g, h = np.array(values, dtype=np.int64).T
    joined = pairs.join(g, h)
    assert abs(sum(joined)) < 1 << (pairs.slot_bits - 1)
    assert pairs.split([sum(joined)]).tolist() == [[g.sum(), h.sum()]]
    assert pairs.split(joined).tolist() == np.stack([g, h], axis=1).tolist()


@pytest.mark.parametrize("sign", [-1, 1])
def test_extreme_sums_fit_their_slot(sign):
    rows = 1000
    pairs = Pairs(24, rows)
    joined = pairs.join(np.full(rows, sign * LIMIT), np.full(rows, LIMIT))
    assert pairs.split([sum(joined)]).tolist() == [[sign * LIMIT * rows, LIMIT * rows]]
    assert pairs.slot_bits % 8 == 0 and pairs.slot_bits >= sum(joined).bit_length() + 1


def test_histograms_of_encrypted_pairs_are_exact(private):
    random = np.random.default_rng(5)
    rows, sizes = 120, [7, 4, 31]
    g, h = random.integers(-LIMIT, LIMIT + 1, rows), random.integers(0, LIMIT + 1, rows)
    bins = np.stack([random.integers(0, size, rows) for size in sizes], axis=1)
    pairs = Pairs(24, rows)
    sums = CipherVector.concatenate(bin_sums(bins, sizes, encrypt(private.public, pairs.join(g, h))))
    found = pairs.split(unpack(decrypt(private, compress(sums, pairs.slot_bits)), pairs.slot_bits, sum(sizes), private.public))
    expected = [
        [g[column == b].sum(), h[column == b].sum()] for column, size in zip(bins.T, sizes, strict=True) for b in range(size)
    ]
    assert found.tolist() == expected


def test_values_beyond_the_bound_are_refused():
    pairs = Pairs(24, 10)
    for g, h in ((LIMIT + 1, 0), (0, -1), (0, LIMIT + 1)):
        with pytest.raises(OutOfRange):
            pairs.join(np.array([g]), np.array([h]))
    for value in (11 * LIMIT << pairs.low, 11 * LIMIT, -(11 * LIMIT << pairs.low)):
        with pytest.raises(MalformedPacking):
            pairs.split([value])
