"""Pools: how work is cut, how buffers are shared, and what limits the number of workers."""

import itertools
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_tasks.crypto import pool as pools
from fl_tasks.crypto.pool import INLINE, Pool, attach, default_workers, held_key, open_pool


@given(st.integers(0, 10**6), st.floats(0.1, 10**5), st.integers(1, 64))
def test_pieces_cover_the_work_in_order(count, cost, workers):
    with ThreadPoolExecutor(1) as threads:
        pieces = Pool(threads, workers, local=False).split(count, cost)
    assert pieces[0].start == 0
    assert pieces[-1].stop == count
    assert all(a.stop == b.start for a, b in itertools.pairwise(pieces))
    assert len(pieces) == 1 or all(piece.stop > piece.start for piece in pieces)
    assert len(pieces) == 1 or count * cost >= pools._WORTH_SHIPPING_US


def test_small_work_stays_in_this_process():
    with open_pool(2) as pool:
        assert pool.split(100, 10.0) == [slice(0, 100)]
        assert pool.map(os.getpid, [()]) == [os.getpid()]
        assert os.getpid() not in pool.map(os.getpid, [(), ()])


def test_local_workers_map_a_shared_buffer():
    with ThreadPoolExecutor(1) as threads, Pool(threads, 1, local=True).share(memoryview(b"abc" * 1000)) as file:
        assert bytes(attach(file)) == b"abc" * 1000
    assert not os.path.exists(file)


def test_others_get_the_bytes_themselves():
    with ThreadPoolExecutor(1) as threads, Pool(threads, 1, local=False).share(b"abc") as file:
        assert file is None
    assert bytes(attach(b"abc")) == b"abc"


@pytest.mark.parametrize(("limit", "most"), [("1", 1), ("", 10**6), ("many", 10**6), ("0", 1)])
def test_number_of_workers_is_limited_by_the_environment(monkeypatch, limit, most):
    monkeypatch.setenv("TOMBOLO_WORKERS", limit)
    assert default_workers() == min(os.cpu_count() or 1, most)


def test_one_worker_needs_no_process():
    with open_pool(1) as pool:
        assert pool is INLINE


def test_no_key_without_asking():
    with pytest.raises(RuntimeError):
        held_key()
