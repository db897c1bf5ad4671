"""The whole pipeline on small tables: validation, alignment, training, at every party."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tests.federation import Federation, federation
from tombolo.fl_tasks.tables.ids import DuplicateIds, NoIdColumn
from tombolo.fl_tasks.workflow.align import TooFewCommon, align
from tombolo.fl_tasks.workflow.aligned import load_aligned
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.publish import publish
from tombolo.fl_tasks.workflow.train import RoundsSpent, train
from tombolo.fl_tasks.workflow.validate import validate


def tables(rows: int = 260, hosts: int = 1, seed: int = 1) -> dict[str, pa.Table]:
    """Overlapping users in different orders; the label depends on everybody's columns."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 3 * (hosts + 1)))
    y = (x @ random.normal(size=x.shape[1]) + random.normal(size=rows) > 0).astype(int)
    ids = np.array([f"User {index:05d}" for index in range(rows)])
    made = {}
    for index, party in enumerate(["clinic", "lab", "mill"][: hosts + 1]):
        part = random.permutation(rows)[: rows - 20]
        columns = {f"{party}_{at}": x[part, 3 * index + at] for at in range(3)}
        spelled = [one.upper() if index else one for one in ids[part]]
        made[party] = pa.table({"id": spelled, **columns, **({"label": y[part]} if index == 0 else {})})
    return made


def pipeline(fed: Federation, run: str) -> dict[str, dict]:
    fed.stage(validate, run)
    fed.stage(align, run)
    fed.stage(train, run)
    results = fed.stage(evaluate, run)
    fed.stage(publish, run)
    return results


@pytest.mark.parametrize("hosts", [1, 2])
def test_a_whole_run(tmp_path, hosts):
    given = tables(hosts=hosts)
    fed = federation(tmp_path, given, limits={"minimum_batch": 60, "maximum_leverage": 0.5})
    run = fed.start(rounds=8)
    fed.stage(validate, run)
    for party in fed.data_parties:
        (tmp_path / party / "table.parquet").unlink()  # a run reads it once
    fed.stage(align, run)
    aligned = {party: load_aligned(fed.context(party), run) for party in fed.data_parties}
    common = set.intersection(*({one.casefold() for one in table.column("id").to_pylist()} for table in given.values()))
    orders = {tuple(one.casefold() for one in found.ids) for found in aligned.values()}
    assert len(orders) == 1 and set(orders.pop()) == common
    assert len({found.test.tobytes() for found in aligned.values()}) == 1
    trained = fed.stage(train, run)
    assert {one["round"] for one in trained.values()} == {trained["clinic"]["round"]}
    results = fed.stage(evaluate, run)
    assert results["clinic"]["metrics"] == results["notary"]["metrics"]
    assert results["clinic"]["metrics"]["auc"] > 0.85
    published = fed.stage(publish, run)
    assert {one.get("version") for one in published.values()} != {None}


@pytest.mark.parametrize("engine", ["paillier", "dealer"])
def test_repeated_stages_change_nothing(tmp_path, engine):
    fed = federation(tmp_path, tables(), engine=engine, limits={"minimum_batch": 60, "maximum_leverage": 0.5})
    run = fed.start(rounds=3)
    first = pipeline(fed, run)
    stores = {party: fed.context(party).store for party in fed.parties}
    before = {party: {key: store.get(key) for key in store.list("to-")} for party, store in stores.items()}
    assert pipeline(fed, run) == first
    assert before == {party: {key: store.get(key) for key in store.list("to-")} for party, store in stores.items()}


def test_no_common_users(tmp_path):
    given = tables()
    given["lab"] = given["lab"].set_column(0, "id", pa.array([f"other {i}" for i in range(given["lab"].num_rows)]))
    fed = federation(tmp_path, given)
    run = fed.start()
    fed.stage(validate, run)
    with pytest.raises(TooFewCommon) as caught:
        fed.stage(align, run)
    assert "TMB-ALIGN-011" in str(caught.value)


def test_bad_ids_are_refused_without_quoting_them(tmp_path):
    given = tables()
    twice = pa.concat_tables([given["lab"], given["lab"].slice(0, 3)])
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    fed = federation(tmp_path / "a", {**given, "lab": twice})
    with pytest.raises(DuplicateIds) as caught:
        fed.stage(validate, fed.start())
    assert "3 ids" in str(caught.value) and "USER" not in str(caught.value).upper().replace("USERS", "")
    numbers = given["lab"].set_column(0, "id", pa.array(range(given["lab"].num_rows)))
    fed = federation(tmp_path / "b", {**given, "lab": numbers})
    with pytest.raises(NoIdColumn):
        fed.stage(validate, fed.start())


def test_rounds_are_limited_over_all_runs(tmp_path):
    limits = {"minimum_batch": 60, "maximum_leverage": 0.5, "maximum_rounds_over_runs": 5}
    fed = federation(tmp_path, tables(), limits=limits)
    for run, rounds in (("first", 3), ("second", 2)):
        fed.start(run, rounds=rounds)
        for stage in (validate, align, train, train):  # a repeated stage is booked once
            fed.stage(stage, run)
    fed.start("third", rounds=1)
    for stage in (validate, align):
        fed.stage(stage, "third")
    with pytest.raises(RoundsSpent, match="5 of 5"):
        fed.stage(train, "third")
