"""A lending query through five real Airflows: the answer is right, and the id that was asked about is nowhere."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.operators.airflows import Airflows, lending_airflows
from tombolo.cli.demo.lenders import three_people, truth
from tombolo.fl_tasks.protocols.lending_query.asking import answers, seal_questions

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(600)]
LENDERS = ("leasing", "cards", "savings")


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflows]:
    with lending_airflows(tmp_path_factory.mktemp("lending")) as five:
        index = five.airflows["bank"].trigger("lending_index", {}, "index.first")
        five.all_succeed("lending_index", index)
        yield five


def people(five: Airflows) -> tuple[dict[str, str], dict[str, pd.DataFrame]]:
    tables = {party: pd.read_parquet(five.federation.home(party) / "customers.parquet") for party in LENDERS}
    return three_people(tables), tables


def holding(root: Path, text: str) -> list[str]:
    """Files below a folder in which a text stands, but the lenders' own tables."""
    files = [file for file in root.rglob("*") if file.is_file() and file.suffix not in (".parquet", ".pyc")]
    return [str(file.relative_to(root)) for file in files if text.encode() in file.read_bytes()]


def test_answers_are_right_and_no_id_is_anywhere(five: Airflows) -> None:
    asked, tables = people(five)
    rows = [{"person": person, "consent": f"paper {number}"} for number, person in enumerate(asked.values())]
    handle = seal_questions(five.context("bank"), rows)
    run = five.airflows["bank"].trigger("lending_query", {"questions": handle}, "query.first")
    five.all_succeed("lending_query", run)
    found = {one["id"]: one for one in answers(five.context("bank"), run)}
    for person in asked.values():
        assert {name: found[person][name] for name in ("loans", "exposure")} == truth(tables, person, 1000)
    assert five.airflows["bank"].xcom("lending_query", run, "query") == {"epoch": "index.first", "questions": 3}
    root = five.federation.root
    assert any("airflow.db" in file for file in holding(root, handle))  # what does stand in the database is found
    for person in asked.values():
        assert holding(root, person) == []
    for party in five.federation.roles:
        assert not conf_and_templates(five.instances[party].database, asked.values())


def conf_and_templates(database: Path, persons) -> list[str]:
    """Tables of the metadata database that hold an id in any column, decoded by SQLite itself."""
    found = []
    with sqlite3.connect(database) as connection:
        tables = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
        for name in tables:
            text = str(connection.execute(f'select * from "{name}"').fetchall())
            found += [name for person in persons if person in text]
    return found


def test_an_unknown_handle_is_a_coded_failure_that_peers_do_not_wait_for(five: Airflows) -> None:
    run = five.airflows["bank"].trigger("lending_query", {"questions": "0123456789abcdef"}, "query.unknown")
    assert five.airflows["bank"].wait_run("lending_query", run, 120) == "failed"
    log = five.airflows["bank"].log("lending_query", run, "invite")
    assert "TMB-QUERY-010" in log
    assert re.search(r"Remedy: ", log)


def test_a_form_refuses_what_is_no_handle(five: Airflows) -> None:
    from tombolo.cli.demo.airflow_api import ApiRefused

    with pytest.raises(ApiRefused, match="400"):
        five.airflows["bank"].trigger("lending_query", {"questions": "000012345678901234"}, "query.id")
