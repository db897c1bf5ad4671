"""Pools: how work is cut, how buffers are shared, and what limits the number of workers."""

import itertools
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.fl_tasks.crypto import pool as pools
from tombolo.fl_tasks.crypto.errors import WorkersLost, WrongResult, WrongShape
from tombolo.fl_tasks.crypto.pool import INLINE, Pool, attach, default_workers, held_key, open_pool


def whose() -> bytes:
    return os.getpid().to_bytes(4, "big")


def refuse() -> bytes:
    raise WrongShape("odd")


def die() -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


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
        assert pool.map(whose, [()], [4]) == [whose()]
        assert whose() not in pool.map(whose, [(), ()], [4, 4])


@pytest.mark.parametrize("local", [True, False])
def test_shared_buffers_are_the_same_bytes(local):
    with ThreadPoolExecutor(1) as threads, Pool(threads, 1, local=local).share(memoryview(b"abc" * 1000)) as part:
        token = part(1, 2999)
        assert isinstance(token, tuple) == local
        assert bytes(attach(token)) == (b"abc" * 1000)[1:2999]
    assert not local or not os.path.exists(token[0])


@pytest.mark.parametrize(("limit", "most"), [("1", 1), ("", 10**6), ("many", 10**6), ("0", 1)])
def test_number_of_workers_is_limited_by_the_environment(monkeypatch, limit, most):
    monkeypatch.setenv("TOMBOLO_WORKERS", limit)
    assert default_workers() == min(os.cpu_count() or 1, most)


def test_one_worker_needs_no_process():
    with open_pool(1) as pool:
        assert pool is INLINE


@pytest.mark.parametrize("given", [b"abc", b"abcde", "abcd", bytearray(4), None])
def test_only_the_bytes_that_are_due_are_taken(given):
    with ThreadPoolExecutor(1) as threads, pytest.raises(WrongResult, match="TMB-CRYPTO-012"):
        Pool(threads, 2, local=False).map(lambda one: one, [(given,), (b"abcd",)], [4, 4])


def test_a_coded_error_of_the_work_is_what_it_was():
    with open_pool(2) as pool, pytest.raises(WrongShape, match="odd"):
        pool.map(refuse, [(), ()], [4, 4])


def test_a_killed_process_is_a_coded_error():
    with open_pool(2) as pool, pytest.raises(WorkersLost, match="TMB-CRYPTO-011"):
        pool.map(die, [(), ()], [0, 0])


def test_no_key_without_asking():
    with pytest.raises(RuntimeError):
        held_key()
