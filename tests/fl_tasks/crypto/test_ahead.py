"""Encryptions of zero made ahead: enough of them, all zero, none given out twice; with processes and without."""

import pytest

from tombolo.fl_tasks.crypto import ahead as crypto_ahead
from tombolo.fl_tasks.crypto import pool as pools
from tombolo.fl_tasks.crypto.ahead import Ahead
from tombolo.fl_tasks.crypto.pool import INLINE, open_pool
from tombolo.fl_tasks.crypto.vector import decrypt


@pytest.mark.parametrize(("full", "count"), [(False, 60), (True, 40)])
@pytest.mark.parametrize("workers", [1, 2])
def test_each_is_used_once(private, full, count, workers, monkeypatch):
    monkeypatch.setattr(pools, "_WORTH_SHIPPING_US", 0.0)
    with open_pool(workers) as pool:
        supply = Ahead(private.public, pool, full)
        supply.prepare(count)
        supply.prepare(count)
        taken = [supply.take(some) for some in (7, 0, count - 10, 20)]
        supply.prepare(5)
        taken.append(supply.take(3))
    assert [len(one) for one in taken] == [7, 0, count - 10, 20, 3]
    values = [value for one in taken for value in one.to_arrow().to_pylist()]
    assert len(set(values)) == count + 20
    assert all(set(decrypt(private, one[:10])) <= {0} for one in taken)


@pytest.mark.parametrize(("full", "ahead"), [(False, True), (True, False)])
def test_what_is_not_worth_a_process(private, full, ahead, monkeypatch):
    supply = Ahead(private.public, INLINE, full)
    supply.prepare(4)
    supply.prepare(3)
    made = []
    for name in ("zeros", "fresh_zeros"):
        make = getattr(crypto_ahead, name)
        monkeypatch.setattr(crypto_ahead, name, lambda *asked, make=make: made.append(asked[1]) or make(*asked))
    taken = supply.take(4)
    assert len(set(taken.to_arrow().to_pylist())) == 4
    assert set(decrypt(private, taken)) == {0}
    assert made == ([] if ahead else [4])


@pytest.mark.parametrize("ready", [0, 3, 50])
def test_encryptions_take_what_is_ready(private, ready, monkeypatch):
    monkeypatch.setattr(pools, "_WORTH_SHIPPING_US", 0.0)
    values = list(range(-5, 5))
    with open_pool(2) as pool:
        supply = Ahead(private.public, pool)
        supply.prepare(ready)
        found = [supply.encrypt(values), supply.encrypt(values)]
    assert [decrypt(private, one) for one in found] == [values, values]
    assert len({value for one in found for value in one.to_arrow().to_pylist()}) == 20


def test_memory_is_bounded_and_little_is_not_shipped(private, monkeypatch):
    monkeypatch.setattr(crypto_ahead, "_MOST", 30)
    with open_pool(2) as pool:
        supply = Ahead(private.public, pool)
        supply.prepare(1000)
        assert (supply._promised, len(supply._held)) == (0, 30)
        monkeypatch.setattr(pools, "_WORTH_SHIPPING_US", 0.0)
        supply = Ahead(private.public, pool)
        supply.prepare(1000)
        assert supply._promised == 30
        assert len(supply.take(100)) == 100
