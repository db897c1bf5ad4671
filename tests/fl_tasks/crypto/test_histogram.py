"""Bin sums and their compression: exact for every grouping."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.fl_tasks.crypto.errors import WrongShape
from tombolo.fl_tasks.crypto.histogram import bin_sums, compress, grouped_bin_sums, share_passes
from tombolo.fl_tasks.crypto.packing import unpack
from tombolo.fl_tasks.crypto.pool import open_pool
from tombolo.fl_tasks.crypto.vector import decrypt, encrypt


def example(rows, sizes, seed=3):
    rng = np.random.default_rng(seed)
    bins = np.stack([rng.integers(0, size, rows) for size in sizes], axis=1)
    values = rng.integers(-(2**40), 2**40, rows)
    sums = [np.bincount(column, minlength=size) * 0 for column, size in zip(bins.T, sizes, strict=True)]
    for column, found in zip(bins.T, sums, strict=True):
        np.add.at(found, column, values)
    return bins, values, [found.tolist() for found in sums]


@pytest.mark.parametrize("sizes", [[32], [2, 3, 2, 32], [4, 4, 4, 4, 200]])
@pytest.mark.parametrize("rows", [1, 400])
def test_bin_sums_are_exact(private, rows, sizes):
    bins, values, sums = example(rows, sizes)
    found = bin_sums(bins, sizes, encrypt(private.public, values))
    assert [decrypt(private, feature) for feature in found] == sums


def test_pool_gives_the_same(private, monkeypatch):
    monkeypatch.setattr("tombolo.fl_tasks.crypto.pool._WORTH_SHIPPING_US", 0.0)
    bins, values, sums = example(90, [3, 5])
    with open_pool(2) as pool:
        found = bin_sums(bins.astype(np.uint8), [3, 5], encrypt(private.public, values), pool)
    assert [decrypt(private, feature) for feature in found] == sums


def test_groups_and_compression_in_a_pool_give_the_same(private, monkeypatch):
    sizes = [3, 5, 2]
    examples = [example(rows, sizes, seed=rows) for rows in (40, 1, 90)]
    vectors = [(bins, encrypt(private.public, values)) for bins, values, _ in examples]
    alone = [compress(one, 64) for one in grouped_bin_sums(vectors, sizes)]
    monkeypatch.setattr("tombolo.fl_tasks.crypto.pool._WORTH_SHIPPING_US", 0.0)
    with open_pool(2) as pool:
        together = [compress(one, 64, pool) for one in grouped_bin_sums(vectors, sizes, pool)]
    for (_, _, sums), found in zip(examples, together, strict=True):
        assert unpack(decrypt(private, found), 64, 10, private.public) == [one for feature in sums for one in feature]
    assert alone == together


@given(st.integers(1, 10**6), st.lists(st.integers(1, 300), max_size=30))
def test_every_feature_is_in_one_pass(rows, sizes):
    groups = share_passes(rows, sizes)
    assert sorted(feature for group in groups for feature in group) == list(range(len(sizes)))
    assert all(np.prod([float(sizes[f]) for f in group]) <= max(rows, *sizes) for group in groups)


def test_small_features_share_a_pass_and_large_ones_do_not():
    assert share_passes(100_000, [16] * 3) == [[0, 1, 2]]
    assert share_passes(1_000, [32] * 3) == [[0], [1], [2]]


def test_bins_that_do_not_fit_are_refused(private):
    vector = encrypt(private.public, [1, 2])
    for bad in ([[0], [3]], [[0], [-1]], [[0]], [[0, 0], [0, 0]], [0, 0]):
        with pytest.raises(WrongShape):
            bin_sums(np.array(bad), [3], vector)


def test_compressed_values_are_unpacked(private):
    values = [2**62, -(2**63), 0, -1, 5] * 7
    packed = compress(encrypt(private.public, values), 64)
    assert len(packed) == 3
    assert unpack(decrypt(private, packed), 64, len(values), private.public) == values
