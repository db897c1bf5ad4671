"""Acceptance: cases and their tables; a failing case is reported and does not stop the others."""

import json

import pyarrow.parquet as pq
import pytest
from typer import Typer
from typer.testing import CliRunner

from cli.acceptance import CASES, _write_agreement, acceptance
from contracts.reading import read_model
from contracts.terms import Terms

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


@pytest.mark.parametrize(
    "case", [case for case in CASES if "wdbc" in case.name or "diabetes" in case.name], ids=lambda case: case.name
)
def test_bundled_data_becomes_valid_terms_and_whole_tables(case, tmp_path):
    tables = case.tables(tmp_path, tmp_path / "tables")
    terms = read_model(_write_agreement(case, tables, tmp_path / "agreements") / "agreement.yaml", Terms)
    assert terms.choose({}).get("key_bits", 2048) == 2048 and ("key_bits" in terms.choose({})) == (terms.task.engine == "paillier")
    assert terms.roles()["guest"] == "guest"
    assert ("notary" in terms.roles()) == (case.protocol not in ("logistic-guest", "secureboost"))
    read = {party: pq.read_table(file) for party, file in tables.files.items()}
    assert len({table.num_rows for table in read.values()}) == 1
    assert "y" in read["guest"].column_names and all("y" not in read[party].column_names for party in read if party != "guest")
    assert read["guest"].column("id").to_pylist() != read["host1"].column("id").to_pylist()
