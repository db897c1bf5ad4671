"""Acceptance: cases and their tables; a failing case is reported and does not stop the others."""

import json
from io import StringIO

import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer import Typer
from typer.testing import CliRunner

from tombolo.agreements.reading import read_model
from tombolo.agreements.terms import Terms
from tombolo.cli.acceptance import CASES, _run, _write_agreement, acceptance

app = Typer()
app.command()(acceptance)


def test_a_case_without_tables_fails_and_the_next_one_runs(tmp_path):
    (tmp_path / "data").mkdir()
    result = CliRunner().invoke(app, [str(tmp_path / "data"), "--only", "default-credit", "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [one["case"] for one in found] == [case.name for case in CASES if "default-credit" in case.name]
    assert not any(one["passed"] for one in found)
    assert result.output.count("FAILED") == len(found)


def test_no_folder_is_misuse(tmp_path):
    assert CliRunner().invoke(app, [str(tmp_path / "nowhere")]).exit_code == 2


@pytest.mark.parametrize(("off", "auc", "passed"), [(5e-5, 0.99, True), (2e-4, 0.99, False), (5e-5, 0.98, False)])
def test_margins_are_a_bar_beside_the_auc(tmp_path, monkeypatch, off, auc, passed):
    case = next(case for case in CASES if case.name == "boosted-wdbc")
    report = {"metrics": {"federated": {"auc": auc}, "pooled": {"auc": 0.99}}, "margins_off_by": off}
    report |= {"rows": {"train": 427}, "seconds": {"total": 1.0}, "rounds": 50}
    monkeypatch.setattr("tombolo.cli.simulate.simulated", lambda *_: report)
    found = _run(case, tmp_path, tmp_path / "out", Console(file=StringIO()))
    assert found["passed"] == passed and found["bar"] == "AUC < 0.0005, margins < 0.0001"
    assert found["reached"] == f"AUC {0.99 - auc:.2e}, margins {off:.1e}"


@pytest.mark.parametrize(
    "case", [case for case in CASES if "wdbc" in case.name or "diabetes" in case.name], ids=lambda case: case.name
)
def test_bundled_data_becomes_valid_terms_and_whole_tables(case, tmp_path):
    tables = case.tables(tmp_path, tmp_path / "tables")
    terms = read_model(_write_agreement(case, tables, tmp_path / "agreements") / "agreement.yaml", Terms)
    assert terms.choose({}).get("key_bits", 2048) == 2048 and ("key_bits" in terms.choose({})) == (terms.task.engine == "paillier")
    assert terms.roles()["guest"] == "guest"
    alone = case.protocol in ("logistic-guest", "secureboost", "vertical-mlp") and terms.task.engine != "dealer"
    assert ("notary" in terms.roles()) != alone
    read = {party: pq.read_table(file) for party, file in tables.files.items()}
    assert len({table.num_rows for table in read.values()}) == 1
    assert "y" in read["guest"].column_names and all("y" not in read[party].column_names for party in read if party != "guest")
    assert read["guest"].column("id").to_pylist() != read["host1"].column("id").to_pylist()
