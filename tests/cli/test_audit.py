"""`tombolo audit` as a compliance officer and an auditor run it."""

from __future__ import annotations

import json
import zipfile
from html.parser import HTMLParser

import pytest
from typer.testing import CliRunner

from tests.federation import party_keys
from tests.fl_tasks.ledger.audit.settled import flipped, path_of, settled
from tests.fl_tasks.workflow.trained import trained
from tombolo.cli.app import app
from tombolo.fl_tasks.crypto.paillier import MIN_BITS
from tombolo.fl_tasks.runtime.record import enter
from tombolo.fl_tasks.workflow.abort import abort
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.publish import publish
from tombolo.fl_tasks.workflow.settle import BooksDiffer, settle
from tombolo.storage.canonical import canonical
from tombolo.storage.errors import CodedError
from tombolo.storage.ledger.signed import Signed
from tombolo.storage.ledger.voting import DOMAIN

RUN = CliRunner(env={"COLUMNS": "220"})


def call(*words: object) -> tuple[int, str]:
    result = RUN.invoke(app, ["audit", *(str(word) for word in words)])
    if isinstance(result.exception, CodedError):
        return 1, str(result.exception)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def fed(tmp_path_factory):
    """A run that was trained, evaluated, published and settled, and one that was given up."""
    made = trained(tmp_path_factory.mktemp("whole"), "clinic", "lab", key_bits=MIN_BITS)
    for stage in (evaluate, publish, settle):
        made.stage(stage, "run-1")
    made.start("run-2")
    abort(made.context("lab"), "run-2", "a task failed", "train")
    return made


@pytest.mark.parametrize("party", ["clinic", "lab", "notary"])
def test_a_whole_run_verifies(fed, party):
    status, shown = call("verify", "--settings", fed.settings(party))
    assert status == 0, shown
    for what in ("agreement", "record", "blocks", "reconciliation", "manifests", "bookings", "artifacts", "private objects"):
        assert what in shown
    assert "FINDING" not in shown
    assert f"The last block is 1 {fed.stage(settle, 'run-1')[party]['block']}" in shown
    assert call("verify", "trial", "--settings", fed.settings(party)) == (status, shown)


def test_every_finding_is_named_and_the_status_says_so(fed):
    keys = ["ledger/trial/blocks/000000001", "private/trial/runs/run-1/manifest"]
    with flipped(path_of(fed, "lab", keys[0]), 50), flipped(path_of(fed, "lab", keys[1]), 50):
        status, shown = call("verify", "--settings", fed.settings("lab"))
    assert status == 1
    findings = [line.split()[1].rstrip(":") for line in shown.splitlines() if line.startswith("FINDING")]
    assert findings == keys
    assert "TMB-KEY-003" in shown


def test_a_backup_is_verified_in_the_store_s_place(fed, tmp_path):
    copy = tmp_path / "backup"
    for path in (fed.root / "lab" / "store").rglob("*"):
        target = copy / path.relative_to(fed.root / "lab" / "store")
        if path.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    (copy / "ledger/trial/segments/000000001").unlink()
    assert call("verify", "--settings", fed.settings("lab"))[0] == 0
    status, shown = call("verify", "--settings", fed.settings("lab"), "--store", f"file://{copy}")
    assert status == 1
    assert "FINDING  ledger/trial/segments/000000001: TMB-AUDIT-001" in shown


def test_the_list_of_runs(fed):
    status, shown = call("show", "--settings", fed.settings("lab"))
    assert status == 0
    rows = {line.split()[1]: line for line in shown.splitlines() if "run-" in line}
    assert "settled in block 1" in rows["run-1"] and "auc=" in rows["run-1"]
    assert "aborted (TMB-RUN-002)" in rows["run-2"]


def test_the_history_of_a_run(fed):
    status, shown = call("show", "run-1", "--settings", fed.settings("lab"))
    assert status == 0
    for what in ("validation", "alignment", "rounds", "metrics", "publication", "settlement", "paillier", "approvers"):
        assert what in shown
    sent = fed.context("lab").books("run-1").entries("sent")
    message = next(entry.message for entry in sent if "paillier" in entry.kinds)
    rows = sum(entry.rows for entry in sent if entry.message == message and entry.peer == "clinic")
    line = next(line for line in shown.splitlines() if message in line and " to " in line and "clinic" in line)
    assert f"{rows:,}" in line
    assert "Block 1" in shown and "clinic and lab" in shown
    assert "TMB-AUDIT-006" in call("show", "run-9", "--settings", fed.settings("lab"))[1]


def test_differing_books_and_proof_of_two_faces_are_shown(tmp_path):
    made = settled(tmp_path, runs=1)
    enter(made.context("clinic"), "run-1", "finding", "lab", code=BooksDiffer.code, addresses=["to-lab/trial/run-1/x"])
    key = "private/trial/runs/run-1/settle/evidence/lab"
    vote = {"agreement": "trial", "height": 1, "view": 0, "phase": "prevote", "party": "lab"}
    both = [Signed.make("lab", {**vote, "block": letter * 64}, party_keys("lab").signing, DOMAIN).to_json() for letter in "ab"]
    made.context("clinic").store.put(key, party_keys("clinic").vault.seal(canonical(both), key))
    status, shown = call("show", "run-1", "--settings", made.settings("clinic"))
    assert status == 0
    assert "to-lab/trial/run-1/x" in shown and BooksDiffer.code in shown
    assert "lab signed two different statements" in shown
    assert f"block {'a' * 16}… and {'b' * 16}…" in shown
    status, shown = call("verify", "--settings", made.settings("clinic"))
    assert status == 0
    assert "1 proof" in shown


def test_show_says_where_it_could_not_read(fed):
    with flipped(path_of(fed, "lab", "ledger/trial/segments/000000002"), -1):
        status, shown = call("show", "--settings", fed.settings("lab"))
    assert status == 1
    assert "could not be read" in shown


def test_an_auditor_reads_and_verifies_a_bundle(fed, tmp_path):
    path = tmp_path / "lab.zip"
    status, shown = call("export", "--out", path, "--settings", fed.settings("lab"))
    assert status == 0 and "no data and no secret key" in shown
    status, shown = call("verify", "--bundle", path)
    assert status == 0, shown
    assert "bundle of lab" in shown
    with zipfile.ZipFile(path) as archive:
        report, index = archive.read("report.html").decode(), json.loads(archive.read("index.json"))
    assert index["party"] == "lab"
    _Page().feed(report)
    block = fed.stage(settle, "run-1")["lab"]["block"]
    for what in ("No findings", "to <b>clinic</b>", "run-1", "run-2", "paillier", "Block 1", block):
        assert what in report
    metrics = fed.context("lab").blocks.get(1)["block"]["facts"]["metrics"]
    assert all(f"{value:.6g}" in report for value in metrics.values())
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    (tmp_path / "altered.zip").write_bytes(data)
    assert call("verify", "--bundle", tmp_path / "altered.zip")[0] == 1
    assert "TMB-AUDIT-007" in call("verify", "--bundle", tmp_path / "none.zip")[1]
    assert "TMB-AUDIT-008" in call("export", "--out", path, "--settings", fed.settings("lab"))[1]


def test_a_report_of_a_damaged_store_says_so_first(fed, tmp_path):
    with flipped(path_of(fed, "lab", "private/trial/runs/run-1/manifest"), 50):
        status, shown = call("export", "--out", tmp_path / "b.zip", "--settings", fed.settings("lab"))
    assert status == 1
    assert "1 thing wrong" in shown
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        report = archive.read("report.html").decode()
    assert "1 finding." in report and "private/trial/runs/run-1/manifest" in report and "No findings" not in report


class _Page(HTMLParser):
    """A page that loads nothing: no script, no address in any attribute, every element closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        assert tag not in ("script", "link", "img", "iframe")
        assert not [value for name, value in attrs if name in ("src", "href") or "//" in (value or "")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
