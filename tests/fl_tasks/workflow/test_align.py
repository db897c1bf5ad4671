"""Alignment as a stage: split files, consent, composite ids, row sets over runs."""

from __future__ import annotations

import pyarrow as pa
import pytest
import yaml

from tests.federation import Federation, federation
from tests.fl_tasks.workflow.test_pipeline import tables
from tombolo.fl_tasks.tables.encoding import LeverageTooHigh
from tombolo.fl_tasks.workflow.align import BadSplit, RowSetsTooClose, align
from tombolo.fl_tasks.workflow.aligned import load_aligned
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


def test_withheld_ids_leave_no_trace(tmp_path):
    fed = federation(tmp_path, tables(), limits={**LOOSE, "minimum_row_difference": 0})
    before = aligned(fed, fed.start())["clinic"]
    (tmp_path / "lab" / "withheld.txt").write_text("\n".join(before[:7]))
    settle(fed, "lab", consent="withheld.txt")
    after = aligned(fed, fed.start("run-2"))
    assert set(after["clinic"]) == set(after["lab"]) == set(before[7:])


def test_runs_on_nearly_the_same_rows_are_refused(tmp_path):
    fed = federation(tmp_path, tables(), limits=LOOSE)
    before = aligned(fed, fed.start())["clinic"]
    assert set(aligned(fed, fed.start("same-rows"))["clinic"]) == set(before)
    trained_on = load_aligned(fed.context("lab"), "run-1")
    (tmp_path / "lab" / "withheld.txt").write_text(before[trained_on.test.tolist().index(False)])
    settle(fed, "lab", consent="withheld.txt")
    run = fed.start("one-less")
    fed.stage(validate, run)
    with pytest.raises(RowSetsTooClose) as caught:
        fed.stage(align, run)
    assert "rows differ from those of run" in str(caught.value)
    assert before[0] not in str(caught.value)


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
