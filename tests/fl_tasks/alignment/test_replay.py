"""Alignment that is stopped at every wait and begun anew, as deferred and killed tasks are, ends as if nothing had happened."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from fl_tasks.stages.align import align
from fl_tasks.stages.aligned import load_aligned
from fl_tasks.stages.validate import validate
from fl_tasks.waiting import Wait, Waiting
from tests.federation import Federation, federation, quiet
from tests.fl_tasks.stages.test_pipeline import tables

WITHOUT_ARBITER = {"roles": {"clinic": "guest", "lab": "host", "mill": "host"}, "protocol": "logistic-guest"}


def stopped_at_every_wait(fed: Federation, run: str) -> tuple[dict[str, Any], int]:
    """The parties take turns; each works until a message is missing, forgets everything, and begins anew at its next turn."""
    results: dict[str, Any] = {}
    stops = 0
    while len(results) < len(fed.parties):
        assert stops < 100, "nobody gets any further"
        for party in [one for one in fed.parties if one not in results]:
            try:
                results[party] = align(fed.place(party), run, Wait(0), progress=quiet)
            except Waiting:
                stops += 1
    return results, stops


def sent(fed: Federation) -> dict[str, bytes]:
    stores = {party: fed.place(party).store for party in fed.parties}
    return {f"{party}/{key}": store.get(key) for party, store in stores.items() for key in store.list("to-")}


@pytest.mark.parametrize(("hosts", "terms"), [(1, {}), (2, {}), (2, WITHOUT_ARBITER)], ids=["pair", "ring", "no arbiter"])
def test_the_same_rows_in_the_same_order(tmp_path, hosts, terms):
    given = tables(hosts=hosts)
    fed = federation(tmp_path, given, limits={"maximum_leverage": 0.5}, **terms)
    run = fed.start()
    fed.stage(validate, run)
    results, stops = stopped_at_every_wait(fed, run)
    assert stops > len(fed.parties)
    before = sent(fed)
    assert fed.stage(align, run) == results
    assert sent(fed) == before
    found = [load_aligned(fed.place(party), run) for party in fed.data_parties]
    orders = {tuple(one.casefold() for one in table.ids) for table in found}
    common = set.intersection(*({one.casefold() for one in table.column("id").to_pylist()} for table in given.values()))
    assert len(orders) == 1
    assert set(orders.pop()) == common
    assert len({table.test.tobytes() for table in found}) == 1


def test_rows_keep_their_own_values(tmp_path):
    given = tables(hosts=2)
    fed = federation(tmp_path, given, limits={"maximum_leverage": 0.5})
    run = fed.start()
    fed.stage(validate, run)
    fed.stage(align, run)
    for party in fed.data_parties:
        found = load_aligned(fed.place(party), run).table
        source = {row["id"]: row for row in given[party].to_pylist()}
        kept = found.drop_columns([name for name in found.column_names if name.startswith("__")])
        assert all(row == source[row["id"]] for row in kept.to_pylist())
        assert kept.num_rows == len(set(kept.column("id").to_pylist()))
        assert pa.types.is_string(kept.schema.field("id").type)
