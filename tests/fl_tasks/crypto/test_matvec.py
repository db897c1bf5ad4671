"""Bucket products: exact for every shape, range and plan."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_tasks.crypto.errors import OutOfRange, WrongShape
from fl_tasks.crypto.matvec import _digits, plan, transposed_product
from fl_tasks.crypto.pool import open_pool
from fl_tasks.crypto.vector import decrypt, encrypt


def exact(x, d):
    return [int(v) for v in x.T.astype(object) @ np.array(d, dtype=object)]


@pytest.mark.parametrize("bits", [1, 2, 8, 24, 45, 61])
@pytest.mark.parametrize("rows", [1, 7, 300])
def test_product_is_exact(private, bits, rows):
    rng = np.random.default_rng(bits * 1000 + rows)
    x = rng.integers(-(2**bits), 2**bits + 1, (rows, 3))
    x[:, 2] = np.abs(x[:, 2])
    d = [int(v) for v in rng.integers(-(2**40), 2**40, rows)]
    assert decrypt(private, transposed_product(x, encrypt(private.public, d))) == exact(x, d)


def test_one_hot_constant_and_empty_columns(private):
    x = np.zeros((50, 4), dtype=np.int64)
    x[::7, 0], x[:, 1], x[:, 2] = 1, -(2**23), 2**62 - 1
    d = list(range(-20, 30))
    assert decrypt(private, transposed_product(x, encrypt(private.public, d))) == exact(x, d)
    assert decrypt(private, transposed_product(x[:0], encrypt(private.public, []))) == [0, 0, 0, 0]
    assert decrypt(private, transposed_product(x[:, :0], encrypt(private.public, d))) == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-(2**62) + 1, 2**62 - 1), min_size=1), st.integers(1, 18))
def test_digits_recompose(values, window):
    column = np.array(values, dtype=np.int64)
    for windows in (1, 2, 1 + int(np.abs(column).max()).bit_length() // window):
        digits = _digits(column, window, windows)
        assert len(digits) == windows
        assert all(-(1 << window - 1) <= digit.min() and digit.max() < 1 << window - 1 for digit in digits[:-1])
        assert sum(digit.astype(object) << window * i for i, digit in enumerate(digits)).tolist() == values


def test_plan_stays_near_the_promised_cost():
    assert plan(100_000, 2**23)[2] <= 2.5 * 100_000
    assert plan(100_000, 2**7)[2] <= 1.1 * 100_000
    assert plan(100_000, 1)[2] <= 1.01 * 100_000
    assert plan(1, 2**23)[0] == 0


def test_what_does_not_fit_is_refused(private):
    v = encrypt(private.public, [1, 2])
    for bad in (np.ones((3, 1), dtype=np.int64), np.ones((2, 1)), np.ones(2, dtype=np.int64)):
        with pytest.raises(WrongShape):
            transposed_product(bad, v)
    for bad in (2**62, -(2**63)):
        with pytest.raises(OutOfRange):
            transposed_product(np.array([[bad], [0]], dtype=np.int64), v)


@pytest.mark.parametrize("columns", [1, 5])
def test_pool_gives_the_same(private, columns, monkeypatch):
    monkeypatch.setattr("fl_tasks.crypto.pool._WORTH_SHIPPING_US", 0.0)
    monkeypatch.setattr("fl_tasks.crypto.pool._CHUNK_US", 100.0)
    rng = np.random.default_rng(5)
    x = rng.integers(-(2**20), 2**20, (80, columns))
    d = [int(v) for v in rng.integers(-(2**32), 2**32, 80)]
    v = encrypt(private.public, d)
    with open_pool(2) as pool:
        assert pool.workers == 2
        product = transposed_product(x, v, pool)
    assert product == transposed_product(x, v)
    assert decrypt(private, product) == exact(x, d)
