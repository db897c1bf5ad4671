"""Pseudo-random streams: fixed vectors (the same on every machine), separation, distribution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.fl_tasks.crypto.prf import Prf

PRF = Prf(bytes(range(32)))


def test_fixed_vectors():
    assert PRF.derive("round", 3, b"x").hex() == "99f07f30f4ea630cc1513ec0f0031b1fcb2439a211c654d4ecf7a0f1b0faea37"
    assert PRF.stream("round", 3).bytes(32).hex() == "c698a554cd05d0448b3b924cdc18b80c74a69732e0837293df195afb3a223dfd"
    assert PRF.stream("p").permutation(8).tolist() == [5, 7, 4, 6, 1, 3, 0, 2]
    assert PRF.stream("s").signs(8).tolist() == [1, 1, -1, 1, -1, 1, -1, 1]
    assert PRF.stream("i").integers_below(10**6, 4) == [957026, 821310, 59391, 558060]
    assert PRF.stream("u").uint64(2).tolist() == [12078981433112741407, 2558272238382759294]


labels = st.lists(st.one_of(st.text(), st.integers(), st.binary()), max_size=3)


@given(labels, labels)
def test_different_labels_give_different_keys(a, b):
    same = [(type(x), x) for x in a] == [(type(x), x) for x in b]
    assert (PRF.derive(*a) == PRF.derive(*b)) == same
    assert PRF.derive(*a) != PRF.stream(*a).bytes(32)


def test_labels_do_not_run_together():
    seen = [PRF.derive(*x) for x in (("ab", "c"), ("a", "bc"), ("abc",), (b"abc",), ("1",), (1,), ())]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("bad", [True, None, 1.0])
def test_other_labels_are_refused(bad):
    with pytest.raises(TypeError):
        PRF.derive(bad)


def test_a_stream_goes_on():
    stream = PRF.stream("x")
    assert stream.bytes(5) + stream.bytes(11) == PRF.stream("x").bytes(16)


@pytest.mark.parametrize("count", [0, 1, (1 << 15) - 1, 1 << 15, (1 << 16) + 3])
def test_adding_in_place_is_adding_the_numbers(count):
    """Below, at and above the blocks by which it goes, and back."""
    start = np.arange(count, dtype=np.uint64)
    total = start.copy()
    PRF.stream("a").add_to(total)
    assert np.array_equal(total, start + PRF.stream("a").uint64(count))
    PRF.stream("a").add_to(total, -1)
    assert np.array_equal(total, start)


@given(st.integers(1, 2**200), st.integers(0, 50))
def test_integers_stay_below(bound, count):
    numbers = PRF.stream("b").integers_below(bound, count)
    assert len(numbers) == count
    assert all(0 <= number < bound for number in numbers)


@given(st.integers(0, 300))
def test_permutations_are_permutations(count):
    assert sorted(PRF.stream("perm", count).permutation(count).tolist()) == list(range(count))


def test_permutations_are_uniform():
    stream, counts = PRF.stream("uniform"), np.zeros((4, 4))
    for _ in range(4000):
        counts[np.arange(4), stream.permutation(4)] += 1
    assert np.abs(counts - 1000).max() < 150


def test_signs_are_balanced():
    signs = PRF.stream("signs").signs(10_001)
    assert signs.dtype == np.int8
    assert set(signs.tolist()) == {-1, 1}
    assert abs(int(signs.sum(dtype=np.int64))) < 500


def test_short_keys_are_refused():
    with pytest.raises(ValueError, match="16 bytes"):
        Prf(b"short")
