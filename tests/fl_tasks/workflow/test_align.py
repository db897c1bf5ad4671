"""Alignment as a stage: split files, consent, composite ids, row sets over runs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.federation import Federation, federation
from tests.fl_tasks.workflow.test_pipeline import tables
from tombolo.fl_tasks.tables.encoding import LeverageTooHigh
from tombolo.fl_tasks.workflow.align import BadSplit, align
from tombolo.fl_tasks.workflow.aligned import LEARNT, encoded_rows, load_aligned
from tombolo.fl_tasks.workflow.roster import RostersDiffer, SideChanged
from tombolo.fl_tasks.workflow.state import ROSTER, USED
from tombolo.fl_tasks.workflow.validate import validate

LOOSE = {"maximum_leverage": 0.5}  # a few hundred rows


def settle(fed: Federation, party: str, **fields: object) -> None:
    path = fed.settings(party)
    document = yaml.safe_load(path.read_text())
    document["agreements"]["trial"].update(fields)
    path.write_text(yaml.safe_dump(document))


def aligned(fed: Federation, run: str) -> dict[str, list[str]]:
    fed.stage(validate, run)
    fed.stage(align, run)
    return {party: [one.casefold() for one in load_aligned(fed.context(party), run).ids] for party in fed.data_parties}


def test_a_split_file_is_followed_and_must_cover_all(tmp_path):
    fed = federation(tmp_path, tables(), limits=LOOSE)
    lines = ["id,set", *(f"user {n:05d},{'test' if n % 4 == 0 else 'train'}" for n in range(260))]
    (tmp_path / "clinic" / "split.csv").write_text("\n".join(lines))
    settle(fed, "clinic", split="split.csv")
    run = fed.start()
    ids = aligned(fed, run)
    for party in fed.data_parties:
        expected = [int(one.split()[1]) % 4 == 0 for one in ids[party]]
        assert load_aligned(fed.context(party), run).test.tolist() == expected
    (tmp_path / "clinic" / "split.csv").write_text("\n".join(lines[:100]))
    run = fed.start("run-2")
    fed.stage(validate, run)
    with pytest.raises(BadSplit):
        fed.stage(align, run)


AT_ONCE: dict[str, object] = {"schema": "tombolo.terms/2", "leavers": {"pool_days": 0}}


def withhold(fed: Federation, party: str, ids: list[str]) -> None:
    (fed.root / party / "withheld.txt").write_text("\n".join(ids))
    settle(fed, party, consent="withheld.txt")


def test_withheld_ids_leave_no_trace(tmp_path):
    fed = federation(tmp_path, tables(), limits={**LOOSE, "minimum_row_difference": 0}, **AT_ONCE)
    before = aligned(fed, fed.start())["clinic"]
    withhold(fed, "lab", before[:7])
    after = aligned(fed, fed.start("run-2"))
    assert set(after["clinic"]) == set(after["lab"]) == set(before[7:])


def test_who_leaves_waits_for_others(tmp_path):
    fed = federation(tmp_path, tables(), limits=LOOSE)
    before = aligned(fed, fed.start())["clinic"]
    assert set(aligned(fed, fed.start("same-rows"))["clinic"]) == set(before)
    withhold(fed, "lab", before[:1])
    run = fed.start("one-waits")
    fed.stage(validate, run)
    found = fed.stage(align, run)
    assert found["lab"]["pending"] == 1 and "pending" not in found["clinic"]
    assert {one.casefold() for one in load_aligned(fed.context("clinic"), run).ids} == set(before)


def test_who_leaves_takes_company_and_does_not_come_back(tmp_path):
    fed = federation(tmp_path, tables(), limits={**LOOSE, "minimum_row_difference": 30}, **AT_ONCE)
    before = aligned(fed, fed.start())["clinic"]
    withhold(fed, "lab", before[:2])
    run = fed.start("two-leave")
    fed.stage(validate, run)
    found = fed.stage(align, run)
    after = {one.casefold() for one in load_aligned(fed.context("clinic"), run).ids}
    assert len(before) - len(after) >= 30 and not set(before[:2]) & after
    assert found["lab"]["left"] == len(before) - len(after) == found["clinic"]["left"]
    assert found["lab"]["companions"] == found["lab"]["left"] - 2 and "companions" not in found["clinic"]
    withhold(fed, "lab", [])
    assert set(aligned(fed, fed.start("all-agree-again"))["clinic"]) == after


def test_strangers_wait_until_they_are_a_group(tmp_path):
    given, limits = tables(), {**LOOSE, "minimum_row_difference": 15}
    rows = given["lab"].num_rows
    few = given["lab"].slice(0, rows - 20)
    fed = federation(tmp_path, {**given, "lab": few}, limits=limits, parameters={"test_fraction": 0})
    before = aligned(fed, fed.start())["clinic"]
    pq.write_table(given["lab"].slice(0, rows - 15), tmp_path / "lab" / "table.parquet")
    run = fed.start("five-wait")
    fed.stage(validate, run)
    found = fed.stage(align, run)
    assert 0 < found["clinic"]["waiting"] == found["lab"]["waiting"] <= 5
    assert {one.casefold() for one in load_aligned(fed.context("clinic"), run).ids} == set(before)


def test_changed_values_wait_until_they_are_a_group(tmp_path):
    given = tables()
    fed = federation(tmp_path, given, limits={**LOOSE, "minimum_row_difference": 40}, parameters={"test_fraction": 0})
    before = encoded_of(fed, fed.start(), "lab")
    for run, changed, taken in (("one-waits", 1, False), ("many-count", 120, True)):
        values = np.array(given["lab"].column("lab_0").to_pylist())
        values[:changed] += 0.5
        pq.write_table(given["lab"].set_column(1, "lab_0", pa.array(values)), tmp_path / "lab" / "table.parquet")
        now = encoded_of(fed, fed.start(run), "lab")
        assert (not np.allclose(before, now)) == taken


def encoded_of(fed: Federation, run: str, party: str) -> np.ndarray:
    """The encoded training rows, in the order of their ids."""
    ids = np.array(aligned(fed, run)[party])
    return encoded_rows(fed.context(party), run, LEARNT)[np.argsort(ids)]


def test_nobody_changes_sides(tmp_path):
    fed = federation(tmp_path, tables(), limits=LOOSE, parameters={"test_fraction": {"default": 0.25, "min": 0.1, "max": 0.5}})
    aligned(fed, fed.start())
    run = fed.start("more-held-out", test_fraction=0.5)
    fed.stage(validate, run)
    with pytest.raises(SideChanged, match="people"):
        fed.stage(align, run)


def test_a_lost_roster_is_noticed(tmp_path):
    fed = federation(tmp_path, tables(), limits=LOOSE)
    aligned(fed, fed.start())
    lab = fed.context("lab").state()
    for family in (ROSTER, USED):
        for item in lab.all(family):
            lab.delete(item)
    withhold(fed, "lab", ["user 00005", "user 00006"])
    run = fed.start("after-the-loss")
    fed.stage(validate, run)
    with pytest.raises(RostersDiffer):
        fed.stage(align, run)


def test_a_run_that_the_guards_stop_does_not_count(tmp_path):
    given = tables()
    users = [one.casefold() for one in given["lab"].column("id").to_pylist()]
    shared = users.index(next(one.casefold() for one in given["clinic"].column("id").to_pylist() if one.casefold() in users))
    values = given["lab"].column("lab_0").to_pylist()
    values[shared] = 1e4
    given["lab"] = given["lab"].set_column(1, "lab_0", pa.array(values))
    fed = federation(tmp_path, given, limits=LOOSE)
    settle(fed, "clinic", split="split.csv")
    (tmp_path / "clinic" / "split.csv").write_text("\n".join(["id,set", *(f"user {n:05d},train" for n in range(260))]))
    run = fed.start()
    fed.stage(validate, run)
    with pytest.raises(LeverageTooHigh, match="lab"):
        fed.stage(align, run)
    (tmp_path / "lab" / "withheld.txt").write_text(users[shared])
    settle(fed, "lab", consent="withheld.txt")
    assert users[shared] not in aligned(fed, fed.start("without-it"))["lab"]


def test_a_split_without_training_rows_is_refused(tmp_path):
    fed = federation(tmp_path, tables(), limits=LOOSE)
    settle(fed, "clinic", split="split.csv")
    (tmp_path / "clinic" / "split.csv").write_text("\n".join(["id,set", *(f"user {n:05d},test" for n in range(260))]))
    run = fed.start()
    fed.stage(validate, run)
    with pytest.raises(BadSplit, match="no aligned row"):
        fed.stage(align, run)


def test_composite_ids_and_other_column_names(tmp_path):
    given = tables()
    for party, table in given.items():
        born = pa.array([f"19{int(one.split()[1]) % 90 + 10}-01-02" for one in table.column("id").to_pylist()])
        given[party] = table.append_column("born" if party == "clinic" else "birthday", born)
    ids = [{"column": "id"}, {"column": "born", "canonical": "date"}]
    fed = federation(tmp_path, given, alignment={"id": ids, "minimum_intersection": 20}, limits=LOOSE)
    settle(fed, "lab", rename={"born": "birthday"})
    found = aligned(fed, fed.start())
    assert found["clinic"] == found["lab"]
    assert len(found["clinic"]) > 200
    assert "," in found["lab"][0]
