"""Pairs in one plaintext: sums of both members come out exactly, also under encryption and compression."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tombolo.fl_tasks.crypto.errors import MalformedPacking, OutOfRange
from tombolo.fl_tasks.crypto.histogram import bin_sums, compress
from tombolo.fl_tasks.crypto.packing import unpack
from tombolo.fl_tasks.crypto.pairs import Pairs
from tombolo.fl_tasks.crypto.vector import CipherVector, decrypt, encrypt

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


@given(st.integers(1, 25), st.integers(1, 30), st.integers(1, 30), st.data())
def test_sums_of_stacked_classes_are_exact(classes, count, bits, data):
    """Whatever the classes' values: no sum disturbs another class's slot, nor leaves the plaintext."""
    pairs, limit = Pairs(bits, count), 1 << bits
    g = data.draw(arrays(np.int64, (classes, count), elements=st.integers(-limit, limit)))
    h = data.draw(arrays(np.int64, (classes, count), elements=st.integers(0, limit)))
    stacked = pairs.stack([pairs.join(*one) for one in zip(g, h, strict=True)])
    assert abs(sum(stacked)) < 1 << (classes * pairs.slot_bits - 1)
    found = pairs.unstack([sum(stacked), *stacked], classes)
    assert found[:, 0].tolist() == np.stack([g.sum(axis=1), h.sum(axis=1)], axis=1).tolist()
    assert found[:, 1:].tolist() == np.stack([g, h], axis=2).tolist()


@pytest.mark.parametrize("signs", [(-1, 1, -1, 1), (1, 1, 1, 1), (-1, -1, -1, -1)])
def test_extreme_sums_of_all_classes_stay_in_their_slots(signs):
    rows = 1000
    pairs = Pairs(24, rows)
    stacked = pairs.stack([pairs.join(np.full(rows, sign * LIMIT), np.full(rows, LIMIT)) for sign in signs])
    assert pairs.unstack([sum(stacked)], len(signs))[:, 0].tolist() == [[sign * LIMIT * rows, LIMIT * rows] for sign in signs]
    with pytest.raises(MalformedPacking):
        pairs.unstack([sum(stacked) << pairs.slot_bits], len(signs))


@given(st.integers(1, 64), st.integers(1, 10**7), st.integers(8, 30))
def test_sets_hold_every_class_once_and_fit_the_plaintext(public, classes, rows, bits):
    pairs = Pairs(bits, rows)
    sets = pairs.sets(public, classes)
    assert [one for members in sets for one in members] == list(range(classes))
    assert all(len(members) * pairs.slot_bits <= public.bits - 2 for members in sets)
    assert all((len(members) + 1) * pairs.slot_bits > public.bits - 2 for members in sets[:-1])


def test_histograms_of_stacked_classes_are_exact_under_encryption(private):
    random = np.random.default_rng(6)
    rows, classes, size = 90, 5, 11
    g, h = random.integers(-LIMIT, LIMIT + 1, (classes, rows)), random.integers(0, LIMIT + 1, (classes, rows))
    bins, pairs = random.integers(0, size, (rows, 1)), Pairs(24, rows)
    stacked = pairs.stack([pairs.join(*one) for one in zip(g, h, strict=True)])
    (sums,) = bin_sums(bins, [size], encrypt(private.public, stacked))
    width = pairs.slot_bits * classes
    small = compress(sums, width)
    assert len(small) == -(-size // ((private.public.bits - 2) // width)) < size
    found = pairs.unstack(unpack(decrypt(private, small), width, size, private.public), classes)
    expected = [[[g[k, bins[:, 0] == b].sum(), h[k, bins[:, 0] == b].sum()] for b in range(size)] for k in range(classes)]
    assert found.tolist() == expected


def test_values_beyond_the_bound_are_refused():
    pairs = Pairs(24, 10)
    for g, h in ((LIMIT + 1, 0), (0, -1), (0, LIMIT + 1)):
        with pytest.raises(OutOfRange):
            pairs.join(np.array([g]), np.array([h]))
    for value in (11 * LIMIT << pairs.low, 11 * LIMIT, -(11 * LIMIT << pairs.low)):
        with pytest.raises(MalformedPacking):
            pairs.split([value])
