"""Blocks, code words, parts: the probabilities that their sizes were chosen for."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tombolo.fl_tasks.alignment.kkrt import ids
from tombolo.fl_tasks.alignment.kkrt.ids import (
    bins_of,
    blocks,
    code_words,
    divided,
    for_function,
    part_bound,
    part_count,
    tokens,
)
from tombolo.fl_tasks.alignment.kkrt.messages import PartTooFull

SALT = bytes(range(32))
IDS = [f"customer-{number}" for number in range(70_000)]  # more than one batch


def test_blocks_depend_on_id_and_salt_alone():
    found = blocks(IDS, SALT)
    assert len(np.unique(found, axis=0)) == len(IDS)
    assert np.array_equal(blocks(IDS[65_530:65_540], SALT), found[65_530:65_540])
    assert not np.array_equal(blocks(IDS[:9], bytes(32)), found[:9])
    assert not (found[:, 1] & np.uint64(3)).any()


def test_a_block_by_its_hash_functions():
    found = blocks(IDS[:500], SALT)
    marked = [for_function(found, function) for function in range(3)]
    assert len(np.unique(np.concatenate(marked), axis=0)) == 1500
    assert np.array_equal(for_function(found, (np.arange(500) % 3).astype(np.uint8))[1::3], marked[1][1::3])
    bins = bins_of(found, b"s" * 32, 1000)
    assert bins.shape == (3, 500)
    assert (bins >= 0).all() and (bins < 1000).all()
    assert (bins[0] != bins[1]).sum() > 450


def test_different_code_words_differ_in_128_bits_at_least():
    """Of 512 random bits fewer than 128 are set with a probability below 2^-102: for all comparisons at 10^7 ids, below 2^-77."""
    rare = math.log2(sum(math.comb(512, weight) for weight in range(128))) - 512
    assert rare < -102
    assert rare + math.log2(3 * 10**7) < -77
    words = code_words(for_function(blocks(IDS[:2000], SALT), 0), SALT)
    distances = np.bitwise_count(words[1:] ^ words[:-1]).sum(axis=1)
    assert distances.min() > 128 and distances.max() < 384
    assert abs(distances.mean() - 256) < 2


def test_tokens_need_their_key():
    found = blocks(IDS[:100], SALT)
    assert len(np.unique(tokens(found, b"k" * 32), axis=0)) == 100
    assert not np.array_equal(tokens(found, b"k" * 32), tokens(found, b"l" * 32))


@pytest.mark.parametrize(("sizes", "parts"), [((0, 0), 1), ((5, 1_000_000), 1), ((10_000_000, 3), 10)])
def test_part_count(sizes, parts):
    assert part_count(sizes) == parts


@pytest.mark.parametrize(("size", "parts"), [(3, 10), (1000, 10), (2_000_000, 2), (10_000_000, 10), (100_000_000, 96)])
def test_a_part_is_larger_than_its_bound_less_than_once_in_2_to_the_40(size, parts):
    from scipy.stats import binom

    bound = part_bound(size, parts)
    assert bound <= size
    assert parts * binom.sf(bound, size, 1 / parts) < 2**-40
    if size > 10**6:
        assert bound < 1.02 * size / parts


def test_parts_hold_everybody_once(monkeypatch):
    found = blocks(IDS, SALT)
    parts = divided(found, 7, "lab")
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(IDS)))
    assert np.array_equal(found[divided(found, 1, "lab")[0]], found)
    monkeypatch.setattr(ids, "part_bound", lambda size, parts: size // parts)
    with pytest.raises(PartTooFull) as caught:
        divided(found, 7, "lab")
    assert "lab" in str(caught.value)
