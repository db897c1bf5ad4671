"""Encryptions of zero made ahead: enough of them, all zero, none given out twice; with processes and without."""

import pytest

from fl_tasks.crypto import ahead
from fl_tasks.crypto import pool as pools
from fl_tasks.crypto.ahead import Ahead
from fl_tasks.crypto.pool import INLINE, open_pool
from fl_tasks.crypto.vector import decrypt


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("workers", [1, 2])
def test_each_is_used_once(private, full, workers, monkeypatch):
    monkeypatch.setattr(pools, "_WORTH_SHIPPING_US", 0.0)
    with open_pool(workers) as pool:
        supply = Ahead(private.public, pool, full)
        supply.prepare(40)
        supply.prepare(40)
        taken = [supply.take(count) for count in (7, 0, 30, 20)]
        supply.prepare(5)
        taken.append(supply.take(3))
    assert [len(one) for one in taken] == [7, 0, 30, 20, 3]
    values = [value for one in taken for value in one.to_arrow().to_pylist()]
    assert len(set(values)) == 60
    assert all(set(decrypt(private, one)) <= {0} for one in taken)


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
    monkeypatch.setattr(ahead, "_MOST", 30)
    with open_pool(2) as pool:
        supply = Ahead(private.public, pool)
        supply.prepare(30)
        assert supply._promised == 0
        monkeypatch.setattr(pools, "_WORTH_SHIPPING_US", 0.0)
        supply.prepare(1000)
        assert supply._promised == 30
        assert len(supply.take(100)) == 100


def test_nothing_is_made_ahead_without_processes(private):
    supply = Ahead(private.public, INLINE)
    supply.prepare(1000)
    assert len(supply.take(2)) == 2
