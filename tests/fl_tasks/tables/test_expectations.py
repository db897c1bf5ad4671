"""The suites that come with the example agreements, run on the tables of the demo; and what a suite may not do."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from tombolo.agreements.settings import TableSettings
from tombolo.cli.demo.demos import DEMOS
from tombolo.fl_tasks.tables.expectations import Failed, _class, run_suite
from tombolo.fl_tasks.tables.source import read_table

FEDERATIONS = Path(__file__).parents[3] / "federations"


def _agreed(terms: dict[str, Any], party: str) -> set[str]:
    """The columns that the terms speak of: a party's own, or those of all clients, or those that lenders are asked about."""
    horizontal, query = terms["task"].get("horizontal"), terms["task"].get("query")
    if query is not None:
        return {query["count"], query["exposure"]}
    own = terms.get("tables", {}).get(party, {}).get("columns", {})
    return set(own if horizontal is None else horizontal["features"])


@pytest.mark.slow
def test_the_demo_tables_meet_their_suites_and_mistakes_do_not(tmp_path):
    tables = {}
    for demo in DEMOS.values():
        for party, own in demo.write_tables(tmp_path / demo.agreement).items():
            tables[demo.agreement, party] = table = read_table(TableSettings(**own.settings()["table"]), own.table.parent, {}, [])
            outcome = run_suite(demo.terms / "suites" / f"{party}.json", table, tmp_path / party)
            assert outcome is not None
            assert (outcome.failed, outcome.page.exists()) == ((), True)
            assert outcome.count > len(_agreed(yaml.safe_load((demo.terms / "agreement.yaml").read_text()), party))
    clinic, suites = tables["wdbc", "clinic"], FEDERATIONS / "wdbc" / "suites"
    at = clinic.column_names.index("malignant")
    coded = clinic.set_column(at, "malignant", pa.array([2, *clinic.column("malignant").to_pylist()[1:]]))
    outcome = run_suite(suites / "clinic.json", coded, tmp_path / "coded")
    assert outcome is not None
    assert outcome.failed == (Failed("expect_column_values_to_be_in_set", "malignant", 1),)


def test_every_suite_belongs_to_a_data_party_and_names_its_columns():
    found = sorted(FEDERATIONS.glob("*/suites/*.json"))
    assert found
    for path in found:
        terms = yaml.safe_load((path.parents[1] / "agreement.yaml").read_text())
        assert terms["parties"][path.stem]["role"] in ("guest", "host", "client")
        suite = json.loads(path.read_text())
        named = {one["kwargs"]["column"] for one in suite["expectations"] if "column" in one["kwargs"]}
        own, dropped = _agreed(terms, path.stem), terms.get("tables", {}).get(path.stem, {}).get("drop", [])
        label = {terms["task"]["label"]["column"]} if "label" in terms["task"] else set()
        known = {*own, *dropped, terms["alignment"]["id"][0]["column"], *label}
        assert own <= named and (not own or named <= known)


@pytest.mark.slow
def test_every_expectation_is_found_by_its_type():
    import great_expectations as gx

    listed = [one for name, one in vars(gx.expectations.core).items() if name.startswith("Expect") and isinstance(one, type)]
    named = {one.expectation_type: one for one in listed if isinstance(getattr(one, "expectation_type", None), str)}
    assert len(named) > 40
    missing = [kind for kind, one in named.items() if kind and vars(gx.expectations.core).get(_class(kind)) is not one]
    assert missing == []


@pytest.mark.slow
def test_unusable_suites_and_silence(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    table = pa.table({"x": [1.0, 2.0], "name": ["secret one", "secret two"]})
    for number, expectation in enumerate(
        (
            {"type": "expect_column_values_to_be_between", "kwargs": {"column": "name", "min_value": 0, "max_value": 1}},
            {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "lacking"}},
            {"type": "ExpectationSuite", "kwargs": {"name": "x"}},
            {"kwargs": {}},
        )
    ):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps({"name": "x", "expectations": [expectation]}))
        assert run_suite(path, table, tmp_path / f"site-{number}") is None
    assert "secret" not in caplog.text
    assert not [one for one in caplog.records if one.name.startswith("great_expectations") and one.levelno < logging.WARNING]


@pytest.mark.slow
def test_what_few_expectations_need_is_imported_for_them_alone(tmp_path):
    program = """
import json, sys
from pathlib import Path
import pyarrow as pa
from tombolo.fl_tasks.tables.expectations import run_suite
kl = {"column": "x", "partition_object": {"values": [0, 1], "weights": [0.5, 0.5]}, "threshold": 0.1}
both = {"expect_column_values_to_not_be_null": {"column": "x"}, "expect_column_kl_divergence_to_be_less_than": kl}
for kind, kwargs in both.items():
    path, table = Path(sys.argv[1]) / f"{kind}.json", pa.table({"x": [0, 1, 0, 1]})
    path.write_text(json.dumps({"name": "suite", "expectations": [{"type": kind, "kwargs": kwargs}]}))
    outcome = run_suite(path, table, Path(sys.argv[1]) / kind)
    print(outcome.count, len(outcome.failed), "scipy.stats._stats_py" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True)
    assert run.stdout.splitlines() == ["1 0 False", "1 0 True"], run.stderr
