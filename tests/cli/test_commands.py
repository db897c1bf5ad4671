"""keys, agreement and preflight as a user runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from typer.testing import CliRunner

from tests.federation import federation
from tombolo.cli.app import app
from tombolo.fl_tasks.crypto.paillier import MIN_BITS
from tombolo.storage.errors import CodedError

RUN = CliRunner()
ROOT = Path(__file__).resolve().parents[2]
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
    fed = federation(tmp_path, {"clinic": TABLE, "lab": TABLE}, key_bits=MIN_BITS)
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
    fed = federation(tmp_path, {"clinic": TABLE, "lab": TABLE}, key_bits=MIN_BITS)
    status, shown = call("preflight", "--settings", fed.settings("clinic"))
    assert status == 0, shown
    for what in ("settings", "keys", "own store", "clock", "agreement", "store of lab", "table: 2 rows"):
        assert what in shown
    (tmp_path / "clinic" / "table.parquet").unlink()
    status, shown = call("preflight", "--settings", fed.settings("clinic"))
    assert status == 1
    assert "FAIL  trial: table" in shown
    assert "TMB-TABLE-011" in shown


def test_a_key_rotates_by_command(tmp_path):
    fed = federation(tmp_path, {"clinic": TABLE, "lab": TABLE}, key_bits=MIN_BITS)
    folder, new, public = tmp_path / "federations" / "trial", tmp_path / "new.json", tmp_path / "lab.public"
    kept = fed.context("lab").private.keep("note", b"models are in here")
    assert call("keys", "rotate", tmp_path / "lab" / "keys.json", "--out", new)[0] == 0
    public.write_text(call("keys", "show", new)[1])
    status, text = call("agreement", "amend", "rotate", folder, "clinic", "--public", public)
    assert status != 0 and "not of clinic" in text
    public_lines = public.read_text()
    for broken in ("nothing here\n", public_lines.replace("verify: A", "verify: B")):
        public.write_text(broken)
        assert call("agreement", "amend", "rotate", folder, "lab", "--public", public)[0] != 0
    assert call("agreement", "amend", "rotate", folder, "lab", "--public", tmp_path / "absent")[0] != 0
    public.write_text(public_lines)
    assert call("agreement", "amend", "rotate", folder, "lab", "--public", public)[0] == 0
    for party in fed.parties:
        assert "Signed: 0002" in call("agreement", "sign", folder, "--settings", fed.settings(party))[1]
    status, shown = call("agreement", "check", folder)
    assert status == 1 and shown.count("missing") == 1
    assert "FAIL  trial: agreement: TMB-AGREE-002" in call("preflight", "--settings", fed.settings("clinic"))[1]
    new.replace(tmp_path / "lab" / "keys.json")
    assert "Signed: 0002" in call("agreement", "sign", folder, "--settings", fed.settings("lab"))[1]
    assert fed.context("lab").private.get("note") == kept


def test_signing_needs_pinned_keys(tmp_path):
    fed = federation(tmp_path, {"clinic": TABLE, "lab": TABLE}, key_bits=MIN_BITS)
    folder, keys = tmp_path / "federations" / "trial", tmp_path / "lab" / "keys.json"
    keys.unlink()
    call("keys", "new", "lab", "--out", keys)
    status, text = call("agreement", "sign", folder, "--settings", fed.settings("lab"))
    assert status == 1 and "TMB-AGREE-003" in text
    for old in [*folder.glob("amendments/*"), *folder.glob("signatures/*")]:
        old.unlink()
    status, text = call("agreement", "sign", folder, "--settings", fed.settings("clinic"))
    assert status == 1 and "TMB-AGREE-004" in text
    status, text = call("agreement", "check", folder)
    assert status == 1 and "not pinned yet" in text


def test_preflight_looks_at_every_table_suite_and_store(tmp_path):
    fed = federation(tmp_path, {"clinic": TABLE, "lab": TABLE}, key_bits=MIN_BITS)
    path = fed.settings("clinic")
    settings = yaml.safe_load(path.read_text())
    mine = settings["agreements"]["trial"]
    mine |= {"predict_table": {"source": "csv", "path": "later.csv"}, "suite": "suite.json"}
    (tmp_path / "clinic" / "later.csv").write_text("id,x\na,1\n")
    (tmp_path / "clinic" / "suite.json").write_text('{"name": "s", "expectations": [{"type": "expect_table"}]}')
    path.write_text(yaml.safe_dump(settings))
    status, shown = call("preflight", "--settings", path)
    assert status == 0, shown
    assert "predict_table: 1 rows" in shown and "suite: 1 expectations" in shown and "protocol 1" in shown
    (tmp_path / "clinic" / "suite.json").write_text("[]")
    (tmp_path / "clinic" / "later.csv").write_text("x\n1\n")
    settings["peers"] = {"lab": "gopher://nowhere"}
    path.write_text(yaml.safe_dump(settings))
    status, shown = call("preflight", "--settings", path)
    assert status == 1
    for failure in ("suite: TMB-VALID-002", "predict_table: TMB-ALIGN-001", "store of lab: TMB-STORE-007"):
        assert f"FAIL  trial: {failure}" in shown
    assert "ok    trial: store of notary" in shown


def test_every_error_has_its_line_on_the_page():
    sources = [
        path.read_text() for area in ("storage", "agreements", "fl_tasks", "operators") for path in (ROOT / area).rglob("*.py")
    ]
    codes = set(re.findall(r'code = "(TMB-[A-Z]+-\d+)"', "\n".join(sources)))
    page = (ROOT / "docs" / "errors.md").read_text()
    assert len(codes) > 50
    assert not [code for code in codes if f"| `{code}` |" not in page]


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


def test_help_imports_nothing_slow():
    run = subprocess.run([sys.executable, "-X", "importtime", "-m", "cli", "--help"], capture_output=True, text=True)
    assert "Usage: tombolo" in run.stdout
    imported = {line.split("|")[-1].strip().split(".")[0] for line in run.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & {"rich", "numpy", "pyarrow", "pandas", "pydantic", "cryptography", "airflow", "yaml", "sklearn"}
