"""Fixed point: exact round trips, ranges, head-room."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.fl_tasks.crypto.errors import NoHeadroom, OutOfRange
from tombolo.fl_tasks.crypto.fixedpoint import check_headroom, decode, encode, encode_features


@given(st.lists(st.floats(-(2.0**20), 2.0**20)), st.integers(0, 40))
def test_round_trip_is_within_half_a_unit(values, bits):
    back = decode(encode(values, bits), bits)
    assert np.all(np.abs(back - np.array(values)) <= 2.0 ** -(bits + 1))


@given(st.lists(st.integers(-(2**60), 2**60)), st.integers(0, 30))
def test_arrays_and_lists_decode_alike(values, bits):
    assert decode(values, bits).tolist() == decode(np.array(values, dtype=np.int64), bits).tolist()


def test_known_values_and_shapes():
    assert encode([[0.5, -1.25], [1.5, 2.5]], 1).tolist() == [[1, -2], [3, 5]]
    assert encode([0.5, 1.5, 2.5], 0).tolist() == [0, 2, 2]
    assert decode([3 << 200, -(1 << 199)], 200).tolist() == [3.0, -0.5]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2.0**40])
def test_values_out_of_range_are_refused_without_naming_them(bad):
    with pytest.raises(OutOfRange) as caught:
        encode([1.0, bad], 24)
    assert "1099511627776" not in str(caught.value)


def test_features_are_limited():
    assert encode_features([1024.0, -1024.0], 4).tolist() == [16384, -16384]
    for bad in (1024.001, np.nan):
        with pytest.raises(OutOfRange):
            encode_features([bad], 4)


def test_headroom(public):
    check_headroom(public, scale_bits=52, bound=2.0**22, terms=2**24)
    with pytest.raises(NoHeadroom, match="TMB-CRYPTO-006"):
        check_headroom(public, scale_bits=980, bound=2.0**22, terms=2**24)
