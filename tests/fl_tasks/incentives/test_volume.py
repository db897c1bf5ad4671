"""Rewards in a horizontal agreement: by training rows that each client tells all others, the same at every party."""

from __future__ import annotations

import pytest

from tests.federation import Federation, quiet
from tests.fl_tasks.learning.horizontal.hospitals import HOSPITALS, hospitals
from tests.fl_tasks.ledger.audit.settled import audited, source
from tests.fl_tasks.workflow.test_absence import OTHERS, joined
from tombolo.fl_tasks.incentives import volume
from tombolo.fl_tasks.incentives.volume import ForeignCounts, TwoCounts
from tombolo.fl_tasks.ledger.audit.history import histories, shares
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.runtime.waiting import Wait, Waiting
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.aligned import load_aligned
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.publish import publish
from tombolo.fl_tasks.workflow.settle import settle
from tombolo.fl_tasks.workflow.train import train
from tombolo.fl_tasks.workflow.validate import validate
from tombolo.storage.canonical import canonical, parse

PAID = {"budget": 100_001, "method": "volume", "refunds": {"centre": 500, "west": 700}}


def paying(tmp_path, patience: float = 3600) -> Federation:
    terms = {"incentives": PAID, "deadlines": {"join": 2.0, "settle": patience}}
    return hospitals(tmp_path, horizontal={"absence": "skip", "step_seconds": 3}, terms=terms, tolerance=1e-3)


def accepted(tmp_path, patience: float = 3600) -> Federation:
    """A run of all hospitals whose model was accepted, without its training."""
    fed = paying(tmp_path, patience)
    run = joined(fed, list(fed.parties))
    for stage in (validate, align):
        fed.stage(stage, run)
    for party in fed.parties:
        fed.context(party).run_area(run).keep("evaluation", canonical({"metrics": {"auc": 0.8}, "rows": 60, "histogram": None}))
        fed.context(party).run_area(run).keep("gate", b"passed")
    return fed


def training_rows(fed: Federation, party: str) -> int:
    return int((~load_aligned(fed.context(party), "run-1").test).sum())


def lie(monkeypatch, liar: str, message: str, change) -> None:
    """What ``liar`` sends as ``message`` is changed; ``change(session, to, columns)`` returns the columns."""
    real = Session.send

    def send(self, name, to=None, /, **columns):
        real(self, name, to, **(change(self, to, columns) if (self.me, name) == (liar, message) else columns))

    monkeypatch.setattr(Session, "send", send)


def signed_anew(session: Session, rows: int) -> dict:
    return {"rows": rows, "signature": session.sign(volume._DOMAIN, volume._statement(session, session.me, rows))}


@pytest.mark.slow
def test_a_whole_run_pays_by_rows_and_nothing_to_who_was_absent(tmp_path):
    fed = paying(tmp_path)
    run = joined(fed, OTHERS)
    for stage in (validate, align, train, evaluate, publish):
        fed.stage(stage, run, OTHERS)
    done = fed.stage(settle, run)
    paid, found = done["west"]["rewards"], done["west"]["contributions"]
    assert all((one["rewards"], one["contributions"]) == (paid, found) for one in done.values())
    rows = {party: training_rows(fed, party) for party in HOSPITALS[:3]} | {"west": 0}
    assert found["training_rows"] == rows and found["shapley"] is None
    assert found["volume"] == {party: count / sum(rows.values()) for party, count in rows.items()}
    assert sum(paid["rewards"].values()) + sum(paid["refunds"].values()) == PAID["budget"]
    assert paid["rewards"]["west"] == 0 and paid["refunds"] == {"centre": 500}
    assert all(abs(paid["rewards"][party] - 99_501 * found["volume"][party]) <= 1 for party in HOSPITALS)
    entries = [one for one in fed.context("east").chain.entries(run) if one.kind == "contributions"]
    assert entries[0].body["training_rows"] == rows and entries[0].body["paid"] == paid
    assert {row[0] for row in shares(histories(source(fed, "west"))[0][run].block)} == {*HOSPITALS, "centre"}
    assert {party: audited(fed, party).findings for party in fed.parties} == {party: [] for party in fed.parties}


@pytest.mark.slow
def test_who_does_not_settle_is_paid_nothing(tmp_path):
    fed = accepted(tmp_path, patience=8)
    done = fed.stage(settle, "run-1", OTHERS)
    assert done["north"]["rewards"]["rewards"]["west"] == 0
    assert done["north"]["contributions"]["training_rows"]["west"] == 0


def test_a_client_that_tells_peers_different_numbers_is_found_by_name(tmp_path, monkeypatch):
    """East is told another number than the rest: the run is settled by the rest's, and east keeps both with their signatures."""
    fed = accepted(tmp_path)
    lie(monkeypatch, "north", "row_count", lambda session, to, columns: signed_anew(session, 999) if to == "east" else columns)
    with pytest.raises(TwoCounts) as caught:
        fed.stage(settle, "run-1")
    assert caught.value.party == "north"
    blocks = [fed.context(party).blocks.get(1)["block"] for party in fed.parties]
    assert all(one == blocks[0] for one in blocks)
    assert blocks[0]["facts"]["contributions"]["training_rows"]["north"] == training_rows(fed, "north")
    kept = parse(fed.context("east").run_area("run-1").get("contribute/two-counts/north"))
    assert [one["rows"] for one in kept] == [999, training_rows(fed, "north")]
    findings = histories(source(fed, "east"))[0]["run-1"].of_kind("finding")
    assert [(one["subject"], one["body"]["code"]) for one in findings] == [("north, rows", TwoCounts.code)]
    assert {party: audited(fed, party).findings for party in fed.parties} == {party: [] for party in fed.parties}


@pytest.mark.parametrize(
    "change",
    [
        lambda session, to, columns: {**columns, "rows": [columns["rows"][0] + 1, *columns["rows"][1:]]},
        lambda session, to, columns: {**columns, "client": columns["client"][::-1]},
        lambda session, to, columns: {**columns, "client": ["stranger", *columns["client"][1:]]},
    ],
    ids=["more", "another-order", "stranger"],
)
def test_the_aggregator_cannot_make_up_numbers(tmp_path, monkeypatch, change):
    fed = accepted(tmp_path)
    lie(monkeypatch, "centre", "row_counts", change)
    for party in fed.parties:  # the clients tell theirs, the centre lists them
        with pytest.raises(Waiting):
            settle(fed.context(party), "run-1", Wait(0), progress=quiet)
    for party in HOSPITALS:
        with pytest.raises(ForeignCounts) as caught:
            settle(fed.context(party), "run-1", Wait(0), progress=quiet)
        assert caught.value.party == "centre"


WRONG = {
    "negative": lambda session, columns: signed_anew(session, -1),
    "more than anybody has": lambda session, columns: signed_anew(session, 1 << 50),
    "no signature": lambda session, columns: {**columns, "signature": b"x"},
    "two rows": lambda session, columns: {name: [value] * 2 for name, value in columns.items()},
}


@pytest.mark.parametrize("to", ["everybody", "centre", "east"])
@pytest.mark.parametrize("lie_about", WRONG)
def test_a_wrong_number_stops_nobody(tmp_path, monkeypatch, lie_about, to):
    """It is not counted if the centre has it, and does not matter if only another client has it; the record names its sender."""
    fed = accepted(tmp_path, patience=8)
    wrong = WRONG[lie_about]
    lie(
        monkeypatch,
        "south",
        "row_count",
        lambda session, at, columns: wrong(session, columns) if to in (at, "everybody") else columns,
    )
    done = fed.stage(settle, "run-1")
    assert len({one["block"] for one in done.values()}) == 1
    rows = done["north"]["contributions"]["training_rows"]
    assert rows["south"] == (training_rows(fed, "south") if to == "east" else 0) and rows["north"] > 0
    findings = histories(source(fed, "east" if to == "east" else "centre"))[0]["run-1"].of_kind("finding")
    assert {one["subject"] for one in findings} >= {"south, rows"}


def test_what_it_discloses_is_pinned():
    assert set(volume.MESSAGES.disclosures()) == {"row_count.rows", "row_counts.rows"}
