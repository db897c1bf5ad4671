"""Bucket products: exact for every shape, range and plan."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tombolo.fl_tasks.crypto.errors import OutOfRange, WrongShape
from tombolo.fl_tasks.crypto.matvec import _digits, plan, share_passes, transposed_product
from tombolo.fl_tasks.crypto.pool import Pool, open_pool
from tombolo.fl_tasks.crypto.vector import decrypt, encrypt

quick = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


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


def test_columns_of_few_values_share_a_pass():
    rng = np.random.default_rng(4)
    few = rng.integers(0, 2, (10_000, 6)) * rng.integers(1, 2**20, 6)
    some = rng.integers(0, 60, (10_000, 1)) << 16
    many = rng.integers(-(2**19), 2**19, (10_000, 2))
    groups = share_passes(np.concatenate([many[:, :1], few, some, many[:, 1:]], axis=1))
    assert sorted(column for members, _ in groups for column in members) == list(range(9))
    assert [members for members, _ in groups if members in ([0], [8])] == [[0], [8]]
    assert {1, 2, 3, 4, 5, 6} <= next(set(members) for members, _ in groups if 1 in members)
    assert sum(cost for members, cost in groups if members not in ([0], [8])) < 2.2 * 10_000


@quick
@given(seed=st.integers(0, 2**32 - 1), values=st.lists(st.integers(1, 12), min_size=1, max_size=6), rows=st.integers(1, 60))
def test_merged_rows_give_the_same_product(private, seed, values, rows):
    rng = np.random.default_rng(seed)
    x = np.stack([rng.choice(rng.integers(-(2**24), 2**24, count), rows) for count in values], axis=1)
    d = [int(v) for v in rng.integers(-(2**40), 2**40, rows)]
    assert decrypt(private, transposed_product(x, encrypt(private.public, d))) == exact(x, d)


def test_equal_rows_and_one_hot_columns(private):
    x = np.zeros((400, 5), dtype=np.int64)
    x[np.arange(400), np.arange(400) % 4] = -(2**20)
    x[:, 4] = np.arange(400) % 7
    d = list(range(-200, 200))
    assert decrypt(private, transposed_product(x, encrypt(private.public, d))) == exact(x, d)


def test_what_does_not_fit_is_refused(private):
    v = encrypt(private.public, [1, 2])
    for bad in (np.ones((3, 1), dtype=np.int64), np.ones((2, 1)), np.ones(2, dtype=np.int64)):
        with pytest.raises(WrongShape):
            transposed_product(bad, v)
    for bad in (2**62, -(2**63)):
        with pytest.raises(OutOfRange):
            transposed_product(np.array([[bad], [0]], dtype=np.int64), v)


@pytest.mark.parametrize("columns", [1, 5])
@pytest.mark.parametrize("given", [False, True], ids=["local", "given executor"])
def test_pool_gives_the_same(private, columns, given, monkeypatch):
    monkeypatch.setattr("tombolo.fl_tasks.crypto.pool._WORTH_SHIPPING_US", 0.0)
    monkeypatch.setattr("tombolo.fl_tasks.crypto.pool._CHUNK_US", 100.0)
    monkeypatch.setattr("tombolo.fl_tasks.crypto.matvec._TASK_US", 100.0)
    rng = np.random.default_rng(5)
    x = rng.integers(-(2**20), 2**20, (80, columns))
    x[:, 1:3] %= 3
    d = [int(v) for v in rng.integers(-(2**32), 2**32, 80)]
    v = encrypt(private.public, d)
    with (
        ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes,
        open_pool(2, executor=processes if given else None) as pool,
    ):
        assert (pool.workers, pool.local) == (2, not given)
        product = transposed_product(x, v, pool)
    assert product == transposed_product(x, v)
    assert decrypt(private, product) == exact(x, d)


def test_ciphertexts_travel_once_to_workers_elsewhere(private, monkeypatch):
    monkeypatch.setattr("tombolo.fl_tasks.crypto.pool._WORTH_SHIPPING_US", 0.0)
    x, v = np.eye(3, dtype=np.int64)[np.arange(300) % 3], encrypt(private.public, list(range(300)))
    sent = []
    with ThreadPoolExecutor(1) as threads:
        pool = Pool(threads, 1, local=False)
        monkeypatch.setattr(
            pool, "map", lambda function, tasks, sizes, _map=pool.map: (sent.extend(tasks), _map(function, tasks, sizes))[1]
        )
        assert transposed_product(x, v, pool) == transposed_product(x, v)
    assert len(sent) == 2
    assert b"".join(token for _, token, *_ in sent) == bytes(v.buffer)
