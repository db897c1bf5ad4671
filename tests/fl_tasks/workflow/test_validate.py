"""Validation: the party's suite, pages for its people, and nothing of its values anywhere else."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.federation import FOREVER, federation, quiet
from tests.fl_tasks.workflow.test_align import settle
from tests.fl_tasks.workflow.test_pipeline import tables
from tombolo.fl_tasks.tables.encoding import MissingValues, NotFinite, UnusableColumn
from tombolo.fl_tasks.tables.prepared import SourceChanged, pinned, prepare
from tombolo.fl_tasks.tables.state import PREPARED
from tombolo.fl_tasks.workflow.abort import abort
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.aligned import NoLabel
from tombolo.fl_tasks.workflow.validate import BadSuite, ValidationFailed, validate

SUITE = {
    "name": "lab",
    "expectations": [
        {"type": "expect_column_to_exist", "kwargs": {"column": "lab_0"}},
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "lab_0", "min_value": -50, "max_value": 50}},
    ],
}


def write_suite(fed, suite) -> None:
    folder = fed.root / "federations" / "trial" / "suites"
    folder.mkdir(exist_ok=True)
    (folder / "lab.json").write_text(json.dumps(suite))


@pytest.mark.slow
def test_a_suite_passes_fails_and_stays_silent_about_values(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    given = tables()
    given["lab"] = given["lab"].set_column(1, "lab_0", pa.array([77123.25, *given["lab"].column("lab_0").to_pylist()[1:]]))
    fed = federation(tmp_path, given)
    run = fed.start()
    loose = json.loads(json.dumps(SUITE))
    loose["expectations"][1]["kwargs"]["max_value"] = 1e6
    write_suite(fed, loose)
    results = fed.stage(validate, run)
    assert results["lab"]["expectations"] == 2
    assert results["clinic"] == {"rows": 240, "expectations": 0, "page": None}
    page = fed.context("lab").docs(run) / "validation" / "index.html"
    assert results["lab"]["page"] == str(page)
    assert page.exists()
    write_suite(fed, SUITE)
    run = fed.start("run-2")
    with pytest.raises(ValidationFailed) as caught:
        fed.stage(validate, run)
    assert "expect_column_values_to_be_between on lab_0: 1 rows" in str(caught.value)
    assert "77123" not in str(caught.value)
    assert not [record for record in caplog.records if "77123" in record.getMessage()]
    with pytest.raises(Exception, match="TMB-EXCH-004"), fed.context("clinic").session(run, {}, "align", None):
        pass  # the peers have heard


@pytest.mark.slow
def test_a_suite_that_cannot_be_used_is_named(tmp_path):
    fed = federation(tmp_path, tables())
    write_suite(fed, {"name": "lab", "expectations": [{"type": "expect_miracles", "kwargs": {}}]})
    with pytest.raises(BadSuite, match=r"lab\.json"):
        fed.stage(validate, fed.start())
    unique = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "no such column"}}
    write_suite(fed, {"name": "lab", "expectations": [unique]})
    with pytest.raises(BadSuite):
        fed.stage(validate, fed.start("run-2"))


def test_infinite_and_missing_values_and_labels_are_refused_before_anything_leaves(tmp_path):
    for number, (party, column, value, error) in enumerate(
        [
            ("lab", "lab_1", float("inf"), NotFinite),
            ("lab", "lab_1", float("nan"), NotFinite),
            ("lab", "lab_1", None, MissingValues),
            ("clinic", "label", None, NoLabel),
            ("clinic", "label", 2, NoLabel),
        ]
    ):
        given = tables()
        at = given[party].column_names.index(column)
        given[party] = given[party].set_column(at, column, pa.array([value, *given[party].column(column).to_pylist()[1:]]))
        folder = tmp_path / str(number)
        folder.mkdir()
        fed = federation(folder, given)
        with pytest.raises(error) as caught:
            fed.stage(validate, fed.start())
        assert party in str(caught.value)


@pytest.mark.parametrize("named", [{"drop": ["lab_l"]}, {"columns": {"lab_l": {"missing": "mean"}}}])
def test_a_column_that_the_terms_misspell_is_refused(tmp_path, named):
    """Else what was to be left out would be learnt from."""
    fed = federation(tmp_path, tables(), tables={"lab": named})
    with pytest.raises(UnusableColumn, match="Column lab_l is named in the terms"):
        fed.stage(validate, fed.start())


def test_columns_that_are_no_features_may_be_incomplete(tmp_path):
    given = tables()
    given = {party: table.append_column("seen", pa.nulls(table.num_rows, pa.float64())) for party, table in given.items()}
    alignment = {"id": [{"column": "id"}], "duplicates": "keep-latest", "latest_by": "seen"}
    fed = federation(tmp_path, given, alignment=alignment)
    assert fed.stage(validate, fed.start())["lab"]["rows"] == 240


def test_a_run_works_on_what_was_validated_and_reads_its_table_once(tmp_path):
    fed = federation(tmp_path, tables(), limits={"maximum_leverage": 0.5})
    run = fed.start()
    fed.stage(validate, run)
    expected = prepare(fed.context("lab"), run)
    for party in fed.data_parties:
        (tmp_path / party / "table.parquet").unlink()
    found = pinned(fed.context("lab"), run)
    assert found == replace(expected, table=found.table)
    assert found.table.equals(expected.table)
    fed.stage(align, run)
    assert not fed.context("lab").run_area(run).names("prepared/"), "nothing needs it any more"
    with pytest.raises(SourceChanged):
        pinned(fed.context("lab"), run)


@pytest.mark.parametrize("change", ["values", "consent"])
def test_a_validation_that_is_done_again_refuses_another_table(tmp_path, change):
    fed = federation(tmp_path, tables())
    run = fed.start()
    first = fed.stage(validate, run)
    kept = fed.context("lab").run_area(run).names("prepared/")
    assert fed.stage(validate, run) == first
    assert fed.context("lab").run_area(run).names("prepared/") == kept
    if change == "values":
        pq.write_table(tables(seed=2)["lab"], tmp_path / "lab" / "table.parquet")
    else:
        (tmp_path / "lab" / "withheld.txt").write_text(tables()["lab"].column("id").to_pylist()[0])
        settle(fed, "lab", consent="withheld.txt")
    with pytest.raises(SourceChanged, match="lab"):
        fed.stage(validate, run)


def test_alignment_needs_a_validated_table(tmp_path):
    fed = federation(tmp_path, tables())
    with pytest.raises(SourceChanged):
        fed.stage(align, fed.start())


def test_a_party_that_gave_the_run_up_pins_nothing_again(tmp_path):
    fed = federation(tmp_path, tables())
    context, run = fed.context("lab"), fed.start()
    fed.stage(validate, run)
    abort(context, run, SourceChanged())
    assert not context.state(run).all(PREPARED)
    with pytest.raises(SourceChanged):
        validate(context, run, FOREVER, quiet)
    assert not context.state(run).all(PREPARED)


def test_names_in_the_store_do_not_tell_a_table_to_who_has_another_key(tmp_path):
    fed = federation(tmp_path, tables())
    run = fed.start()
    fed.stage(validate, run)
    found = prepare(fed.context("lab"), run)
    guessed = {
        hash_(text.encode()).hexdigest()
        for hash_ in (hashlib.sha256, hashlib.blake2b)
        for text in (found.sha256, "\n".join(found.ids), "\n".join([found.sha256, *found.ids]))
    }
    names = " ".join(fed.context("lab").run_area(run).names("prepared/"))
    assert names and not [one for one in guessed if one[:64] in names]


def test_columns_that_the_terms_drop_are_not_kept(tmp_path):
    fed = federation(tmp_path, tables(), tables={"lab": {"drop": ["lab_0"]}})
    run = fed.start()
    fed.stage(validate, run)
    assert "lab_0" in prepare(fed.context("lab"), run).table.column_names
    assert "lab_0" not in pinned(fed.context("lab"), run).table.column_names
