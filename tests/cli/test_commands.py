"""keys, agreement and preflight as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from cli.app import app
from storage.errors import CodedError
from tests.federation import federation

RUN = CliRunner()
TABLE = pa.table({"id": ["a", "b"], "x": [1.0, 2.0], "label": [0, 1]})


def call(*words: object) -> tuple[int, str]:
    result = RUN.invoke(app, [str(word) for word in words])
    if isinstance(result.exception, CodedError):
        return 1, str(result.exception)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_keys_are_made_once_and_shown_in_public(tmp_path):
    path = tmp_path / "keys.json"
    status, shown = call("keys", "new", "clinic", "--out", path)
    assert status == 0
    assert "verify: " in shown
    assert path.stat().st_mode & 0o777 == 0o600
    assert call("keys", "show", path)[1].strip() in shown
    assert '"vault"' not in shown
    status, text = call("keys", "new", "clinic", "--out", path)
    assert status == 1
    assert "TMB-KEY" in text


def test_an_agreement_from_keys_to_signatures(tmp_path):
    fed = federation(tmp_path, {"clinic": TABLE, "lab": TABLE})
    folder = tmp_path / "federations" / "trial"
    status, shown = call("agreement", "check", folder)
    assert status == 0, shown
    assert "verified" in shown
    new = tmp_path / "new.json"
    call("keys", "new", "lab", "--out", new)
    assert call("agreement", "amend", "pin", folder, "--party", f"lab={new}")[0] == 0
    assert call("agreement", "amend", "move-store", folder, "notary", "file:///elsewhere")[0] == 0
    status, shown = call("agreement", "check", folder)
    assert status == 1
    assert "missing" in shown
    for party in fed.parties:
        assert "Signed" in call("agreement", "sign", folder, "--settings", fed.settings(party))[1]
    (tmp_path / "lab" / "keys.json").unlink()
    new.rename(tmp_path / "lab" / "keys.json")
    call("agreement", "sign", folder, "--settings", fed.settings("lab"))
    assert call("agreement", "check", folder)[0] == 0
    assert "Nothing" in call("agreement", "sign", folder, "--settings", fed.settings("lab"))[1]


def test_preflight_says_what_is_right_and_what_is_not(tmp_path):
    fed = federation(tmp_path, {"clinic": TABLE, "lab": TABLE})
    status, shown = call("preflight", "--settings", fed.settings("clinic"))
    assert status == 0, shown
    for what in ("settings", "keys", "own store", "clock", "agreement", "store of lab", "table: 2 rows"):
        assert what in shown
    (tmp_path / "clinic" / "table.parquet").unlink()
    status, shown = call("preflight", "--settings", fed.settings("clinic"))
    assert status == 1
    assert "FAIL  trial: table" in shown
    assert "TMB-TABLE-011" in shown


def test_a_wrong_setting_is_one_clear_line(tmp_path):
    path = tmp_path / "party.yaml"
    path.write_text("party: clinic\nkeyz: file:keys.json\nstore: file:///tmp/x\nfederations: .\n")
    run = subprocess.run(
        [sys.executable, "-m", "cli", "preflight", "--settings", path], capture_output=True, text=True, env=os.environ
    )
    assert run.returncode == 1
    assert "party.yaml:2: keyz: unknown field; did you mean keys?" in run.stdout


@pytest.mark.parametrize(
    "words", [["--help"], ["keys", "--help"], ["agreement", "amend", "--help"], ["simulate", "--help"], ["demo", "--help"]]
)
def test_help(words):
    assert call(*words)[0] == 0
