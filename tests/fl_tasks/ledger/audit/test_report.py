"""The report as a page: what it says of contributions and findings, and that no text of others becomes markup."""

from __future__ import annotations

import pytest

from tests.fl_tasks.ledger.audit.settled import settled, source
from tests.fl_tasks.ledger.audit.test_history import BLOCK
from tombolo.fl_tasks.ledger.audit import report
from tombolo.fl_tasks.ledger.audit.findings import Audit, Missing
from tombolo.fl_tasks.ledger.audit.history import History, Traffic
from tombolo.fl_tasks.ledger.audit.report import counted, page, size
from tombolo.fl_tasks.ledger.audit.verify import verify_store
from tombolo.fl_tasks.runtime.record import enter


@pytest.fixture(scope="module")
def fed(tmp_path_factory):
    return settled(tmp_path_factory.mktemp("report"), runs=1)


HOSTILE = "<script>alert(1)</script>"


def of_run(run: History) -> str:
    """What the report says of one run."""
    return report._rendered("_audited-run.html", run=run)


def test_texts_of_others_are_text(fed):
    enter(fed.context("clinic"), "run-1", "finding", "lab", code="TMB-LEDGER-005", addresses=[HOSTILE])
    found = source(fed, "clinic")
    audit, ends = verify_store(found)
    audit.find("record", "<b>x</b>", Missing("<i>y</i>"))
    text = page(found, audit, ends)
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert "<b>x</b>" not in text and "<i>y</i>" not in text
    assert "1 finding." in text and "TMB-LEDGER-005" in text and Missing.code in text


def test_whatever_a_run_holds_is_text():
    """Names of peers, messages, kinds, metrics, subjects and facts."""
    names = {name: f"{HOSTILE}{name}" for name in ("kind", "subject", "fact", "peer", "message", "protection", "metric", "run")}
    event = {"kind": names["kind"], "subject": names["subject"], "at": HOSTILE, "body": {names["fact"]: HOSTILE}}
    metrics = {"kind": "metrics", "subject": "rows", "at": "2026-01-01T00:00:00", "body": {"metrics": {names["metric"]: 0.5}}}
    traffic = {("received", names["peer"], names["message"]): Traffic(1, 2000, 3, {names["protection"]})}
    text = of_run(History(names["run"], events=[event, metrics], traffic=traffic))
    assert "<script" not in text and text.count("&lt;script&gt;") >= len(names)
    for name in names:
        assert f"&lt;/script&gt;{name}" in text
    assert "received from" in text and "2.0 KiB" in text


def test_artifacts_that_left_come_first():
    traffic = {(book, "lab", message): Traffic(1, 1, 1) for book in ("received", "sent") for message in ("b", "a")}
    rows = [row.split("</td><td") for row in of_run(History("run-1", traffic=traffic)).split("<tr>") if "<td>lab" in row]
    assert [(row[0], row[2]) for row in rows] == [
        ("<td>sent to", ">a"),
        ("<td>sent to", ">b"),
        ("<td>received from", ">a"),
        ("<td>received from", ">b"),
    ]


def test_contributions_and_rewards():
    text = of_run(History("run-1", block={**BLOCK, "height": 1}))
    assert "Shapley value" in text and "share of data" in text and "leave-one-out" not in text
    assert '<td>lab</td><td class="n">0.2500</td><td class="n">1.0000</td><td class="n">1,000.01 EUR</td>' in text
    assert '<td>notary</td><td class="n"></td><td class="n"></td><td class="n">500.00 EUR</td>' in text


def test_what_privacy_cost_stands_beside_the_rounds():
    body = {"round": 5, "finished": True, "loss": None, "epsilon": 2.98765, "delta": 1e-5}
    event = {"kind": "rounds", "subject": "to 5", "at": "2026-01-01T00:00:00+00:00", "body": body}
    assert "5 rounds, last loss none, epsilon 2.988 at delta 1e-05" in of_run(History("run-1", events=[event]))


def test_numbers_for_people():
    audit = Audit()
    audit.count("record", "segments")
    audit.count("record", "entries", 1200)
    audit.count("artifacts", "entries")
    audit.count("artifacts", "bytes", 3 << 20)
    assert counted(audit.counts["record"]) == "1 segment, 1,200 entries"
    assert counted(audit.counts["artifacts"]) == "1 entry, 3.0 MiB"
    assert counted({}) == "nothing"
    assert [size(number) for number in (0, 1023, 1024, 5 << 30, 1 << 42)] == ["0 B", "1,023 B", "1.0 KiB", "5.0 GiB", "4,096.0 GiB"]


def test_every_check_is_explained(fed):
    audit, _ = verify_store(source(fed, "lab"))
    assert audit.counts.keys() <= report.PROVES.keys() | {"bundle"}
