"""Fixed point modulo 2^64: exact up to the bound that the scale is chosen for, in every shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.fl_tasks.crypto.errors import NoHeadroom, OutOfRange
from tombolo.fl_tasks.crypto.fixedpoint import FEATURE_BITS
from tombolo.fl_tasks.shares.ring import LARGEST_COLUMN, Scale, product

WORD = st.integers(0, 2**64 - 1)


@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 2**32))
def test_a_product_is_that_of_the_integers_modulo_2_to_the_64(rows, columns, seed):
    random = np.random.default_rng(seed)
    x, v = random.integers(0, 2**64, (rows, columns), np.uint64), random.integers(0, 2**64, rows, np.uint64)
    exact = [sum(int(a) * int(b) for a, b in zip(column, v, strict=True)) % 2**64 for column in x.T]
    assert product(x, v).tolist() == exact


@given(st.integers(1, 1 << 20), st.floats(1e-12, 1e12))
def test_the_scale_is_the_finest_that_cannot_wrap(rows, largest):
    """All features at the largest root mean square and all residuals at theirs, same signs: the worst that can be."""
    scale = Scale.of(rows, largest)

    def worst(bits: int) -> float:
        return rows * (LARGEST_COLUMN * 2.0**FEATURE_BITS) * (largest * 2.0**bits + 0.5)

    assert worst(scale.bits) < 2.0**63 <= 4 * worst(scale.bits)


@pytest.mark.parametrize("rows", [1, 7, 4096])
@pytest.mark.parametrize("largest", [1.0, 96.0, 3e-7, 5e9])
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_worst_case_comes_out_right(rows, largest, sign):
    scale = Scale.of(rows, largest)
    x = np.full((rows, 1), int(LARGEST_COLUMN * 2**FEATURE_BITS)).view(np.uint64)
    found = scale.decode(product(x, scale.encode(np.full(rows, sign * largest))))
    assert found[0] == pytest.approx(sign * rows * LARGEST_COLUMN * largest, rel=2.0**-9)


def test_errors_of_rounding_are_those_of_the_last_bit():
    random = np.random.default_rng(0)
    x, d = random.integers(-(2**25), 2**25, (1000, 3)), random.normal(size=1000)
    scale = Scale.of(1000, 4.0)
    found = scale.decode(product(x.view(np.uint64), scale.encode(d)))
    bound = np.abs(x).sum(axis=0) / 2.0**FEATURE_BITS * 2.0 ** -(scale.bits + 1)
    assert (np.abs(found - x.T / 2.0**FEATURE_BITS @ d) <= bound * (1 + 1e-6)).all()


def test_too_many_rows_and_what_is_not_finite_are_refused():
    Scale.of(1 << 26, 3.0)
    with pytest.raises(NoHeadroom, match="rows"):
        Scale.of(1 << 28, 3.0)
    with pytest.raises(OutOfRange):
        Scale.of(100, 1.0).encode(np.array([np.nan]))
