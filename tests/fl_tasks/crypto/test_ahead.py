"""Encryptions of zero made ahead: enough of them, all zero, none given out twice; with processes and without."""

import pytest

from fl_tasks.crypto.ahead import Ahead
from fl_tasks.crypto.pool import INLINE, open_pool
from fl_tasks.crypto.vector import decrypt


@pytest.mark.parametrize(("full", "count"), [(False, 6000), (True, 40)])
@pytest.mark.parametrize("workers", [1, 2])
def test_each_is_used_once(private, full, count, workers):
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


def test_nothing_is_made_ahead_without_processes(private):
    supply = Ahead(private.public, INLINE)
    supply.prepare(1000)
    assert len(supply.take(2)) == 2
