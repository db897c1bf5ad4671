"""Cuckoo hashing: every placement that exists is found, and one exists but for less than 2^-40."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.fl_tasks.alignment.kkrt.bins import EMPTY, bin_count, place
from tombolo.fl_tasks.crypto.prf import Prf

STREAM = Prf(b"p" * 32).stream


def failure(size: int, bins: int) -> float:
    """Binary logarithm of the bound that docs/protocols/kkrt.md derives on the probability that no placement exists."""
    from scipy.special import gammaln

    held = np.arange(2, size + 1, dtype=float)  # s ids that have b = s - 1 bins among them
    full = held - 1
    low, high = np.full_like(held, 1e-12), np.full_like(held, 60.0)
    for _ in range(90):  # z (e^z - 1) / (e^z - 1 - z) = 3 s / b gives the smallest bound; every z gives a valid one
        z = (low + high) / 2
        less = z * -np.expm1(-z) / (1 - np.exp(-z) * (1 + z)) < 3 * held / full
        low, high = np.where(less, z, low), np.where(less, high, z)
    twice = z + np.log1p(-np.exp(-z) * (1 + z))  # log(e^z - 1 - z)
    ways = gammaln(size + 1) - gammaln(held + 1) - gammaln(size - held + 1)
    ways += gammaln(bins + 1) - gammaln(full + 1) - gammaln(bins - full + 1)
    others = np.log1p(-((full / bins) ** 3))
    first = ways + gammaln(3 * held + 1) + full * twice - 3 * held * np.log(z * bins) + (size - held) * others
    ratio = np.exp(np.log(full / (bins - full + 1)) - twice)
    ratio *= np.exp((size - held) * (np.log1p(-(((full - 1) / bins) ** 3)) - others))
    assert ratio.max() < 1
    terms = first - np.log1p(-ratio)
    return float((terms.max() + np.log(np.exp(terms - terms.max()).sum())) / np.log(2))


@pytest.mark.parametrize("size", [2, 100, 3_000, 12_000, 12_900, 13_000, 20_000, 100_000, 300_000, 1_000_000, 1_060_000])
def test_failure_is_below_2_to_the_minus_40(size):
    assert failure(size, bin_count(size)) < -40


def check(bins, count, found) -> None:
    holds, used = found
    size = bins.shape[1]
    placed = bins[used, np.arange(size)]
    assert len(set(placed.tolist())) == size
    assert holds[placed].tolist() == list(range(size))
    assert (holds == EMPTY).sum() == count - size


@pytest.mark.parametrize("size", [0, 1, 60, 20_000])
def test_everybody_is_in_one_of_its_bins(size):
    count = bin_count(size)
    bins = (STREAM("bins", size).uint64(3 * size).reshape(3, size) % np.uint64(count)).astype(np.int64)
    check(bins, count, place(bins, count, STREAM("walk", size)))


def test_few_bins_are_filled_by_paths():
    """Far above what a walk can place: as many ids as bins, and just one way."""
    count = 400
    own, following = np.arange(count), (np.arange(count) + 1) % count
    bins = np.stack([following, following, own])
    bins[:, 0] = 0  # so that every id must stay in its own bin
    check(bins, count, place(bins, count, STREAM("walk")))


@given(st.lists(st.tuples(*3 * [st.integers(0, 5)]), max_size=6))
def test_a_placement_is_found_if_there_is_one(given):
    from itertools import product

    bins = np.array(given, np.int64).reshape(len(given), 3).T
    possible = any(len(set(choice)) == len(given) for choice in product(*given))
    found = place(bins, 6, STREAM("walk"))
    assert (found is not None) == possible
    if found is not None:
        check(bins, 6, found)
