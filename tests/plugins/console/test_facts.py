"""The console's facts over real federations: they say what the ledger, the books and the stores hold, and write nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from tests.federation import FOREVER, quiet
from tests.fl_tasks.learning.horizontal.hospitals import hospitals
from tests.fl_tasks.ledger.settlement.test_settle import joined
from tests.plugins.console.settled import RUN, settled
from tombolo.agreements.settings import PartySettings
from tombolo.fl_tasks.runtime.record import enter
from tombolo.fl_tasks.runtime.waiting import PeerAborted
from tombolo.fl_tasks.workflow.abort import abort
from tombolo.fl_tasks.workflow.absent import decline
from tombolo.fl_tasks.workflow.align import TooFewCommon
from tombolo.fl_tasks.workflow.join import invite, join
from tombolo.fl_tasks.workflow.settle import settle
from tombolo.plugins.console.facts import agreements, artifacts, run, runs
from tombolo.plugins.console.facts.record import RecordIndex
from tombolo.storage.books import Entry
from tombolo.storage.canonical import digest
from tombolo.storage.errors import CodedError


@pytest.fixture(scope="module")
def fed(tmp_path_factory):
    return settled(tmp_path_factory.mktemp("settled"))


def record(context) -> RecordIndex:
    return RecordIndex().follow(context)


def keys(fed):
    return {party: fed.context(party).store.list("") for party in fed.parties}


def seen(fed, party="clinic", page=1):
    return agreements.overview(PartySettings.load(fed.settings(party)), "trial", page, fed.settings(party))


def statuses(fed, party, name=RUN):
    row = next(one for one in seen(fed, party).runs.rows if one.run == name)
    return row, {one.party: one for one in row.parties}


@pytest.mark.parametrize("party", ["clinic", "lab", "notary"])
def test_the_overview_is_what_the_ledger_holds(fed, party):
    context, found = fed.context(party), seen(fed, party)
    assert found.error is None
    assert found.health.whole and found.health.entries == len(list(context.chain.entries()))
    assert found.health.head == context.chain.head().digest
    kept = context.blocks.last()
    assert (found.block.height, found.block.hash, found.block.run) == (1, digest(kept["block"]), RUN)
    assert found.block.fault is None and found.block.signers == ("clinic", "lab", "notary")
    assert found.summary.signed == 3 and found.summary.digest == context.agreement.digest
    (row,) = found.runs.rows
    assert (row.run, row.kind, row.state, row.height) == (RUN, "train", "settled", 1)
    assert row.metrics == kept["block"]["facts"]["metrics"]
    (model,) = found.models
    assert (model.version, model.rounds, model.metrics) == (RUN, context.params(RUN).rounds, row.metrics)


@pytest.mark.parametrize("party", ["clinic", "lab", "notary"])
def test_a_runs_facts_are_those_of_the_record(fed, party):
    context = fed.context(party)
    known = record(context)
    entries = {entry.kind: entry.body for entry in context.chain.entries(RUN)}
    progress, results, closing = (read(context, known, RUN) for read in (run.progress, run.results, run.closing))
    assert not progress.live and progress.round == progress.rounds == context.params(RUN).rounds
    assert [stage.state for stage in progress.stages] == ["done"] * 7
    assert results.metrics == entries["metrics"]["metrics"] and results.rows == entries["alignment"].get("rows")
    assert results.manifest == context.manifest(RUN).digest
    assert closing.hash == digest(context.blocks.get(1)["block"]) and closing.findings == {}
    assert list(progress.losses)[-1:] == [entries["rounds"]["loss"]][: len(progress.losses)]


def test_every_artifact_is_listed_with_its_meaning_and_its_bytes_verified(fed):
    for party in fed.parties:
        context = fed.context(party)
        booked = artifacts.traffic(context, record(context), RUN)
        for book in ("sent", "received"):
            entries = context.books(RUN).entries(book)
            pages = [artifacts.listing(context, RUN, booked, artifacts.Filter(book, page=page)) for page in (1, 2, 3, 4)]
            shown = {one.artifact.address: one for page in pages for one in page.shown}
            assert sorted(shown) == sorted({entry.address for entry in entries}) and pages[0].count == len(entries)
            assert pages[0].size == sum(entry.size for entry in entries)
            assert {one.hash for one in shown.values()} == {artifacts.VERIFIED}
            assert all(one.meaning is not None and one.meaning.learns for one in shown.values())
        sums = artifacts.totals(context, booked)
        assert {one.peer: one.sent_bytes for one in sums} == context.books(RUN).bytes_to()


def test_a_page_holds_a_page_and_the_filter_filters(fed):
    context = fed.context("clinic")
    booked = artifacts.traffic(context, record(context), RUN)
    first = artifacts.listing(context, RUN, booked, artifacts.Filter())
    assert len(first.shown) == artifacts.PAGE < first.count and first.pages == -(-first.count // artifacts.PAGE)
    last = artifacts.listing(context, RUN, booked, artifacts.Filter(page=10**6))
    assert last.page == first.pages and last.first + len(last.shown) - 1 == first.count
    some = artifacts.listing(context, RUN, booked, artifacts.Filter("received", "notary", "manifest_signature"))
    assert [(one.artifact.peer, one.artifact.message) for one in some.shown] == [("notary", "manifest_signature")]
    assert artifacts.listing(context, RUN, booked, artifacts.Filter(peer="nobody")).shown == ()


def test_reading_writes_nothing(fed):
    before = keys(fed)
    for party in fed.parties:
        context, found = fed.context(party), seen(fed, party)
        booked = artifacts.traffic(context, record(context), RUN)
        artifacts.listing(context, RUN, booked, artifacts.Filter("received"))
        run.progress(context, record(context), RUN)
        assert found.runs.count == 1
    assert keys(fed) == before


def test_bytes_that_changed_are_named(tmp_path):
    fed = joined(tmp_path)
    name = fed.start()
    fed.stage(settle, name)
    context = fed.context("clinic")
    store = tmp_path / "clinic" / "store"
    booked = artifacts.traffic(context, record(context), name)
    altered, gone = [one for one in booked if one.book == "sent" and one.message in ("join", "pair_seed")][:2]
    head = store / altered.address / "head"
    head.chmod(0o600)
    head.write_bytes(head.read_bytes()[:-1] + b"?")
    context.store.delete(f"{gone.address}/head")
    states = {one.artifact.address: one.hash for one in artifacts.listing(context, name, booked, artifacts.Filter()).shown}
    assert states.pop(altered.address) == artifacts.DIFFERS and states.pop(gone.address) == artifacts.MISSING
    assert set(states.values()) == {artifacts.VERIFIED}
    assert artifacts.hash_state(context, gone, erased=True) == artifacts.ERASED

    segment = store / "ledger" / "trial" / "segments" / "000000002"
    segment.chmod(0o600)
    segment.write_bytes(segment.read_bytes()[:-1] + b"?")
    health = record(fed.context("clinic")).health(fed.context("clinic"))
    assert not health.whole and health.checked == 1 and health.fault.code == "TMB-LEDGER-003"
    block = store / "ledger" / "trial" / "blocks" / "000000001"
    block.chmod(0o600)
    block.write_bytes(block.read_bytes()[:-1] + b"?")
    assert record(fed.context("clinic")).last_block(fed.context("clinic")).fault is not None


def test_how_far_everybody_is(tmp_path):
    fed = joined(tmp_path)
    invite(fed.context("clinic"), "run-1")
    for party in fed.parties:
        row, found = statuses(fed, party, "run-1")
        assert row.state == "invited" and {one.state for one in found.values()} == {"invited"}, party
    fed.start()
    row, found = statuses(fed, "clinic", "run-1")
    assert row.state == "running" and {name: one.state for name, one in found.items()} == {
        "clinic": "working",
        "lab": "joined",
        "notary": "joined",
    }
    context = fed.context("clinic")
    heard = Entry("lab", "to-clinic/trial/run-1/000007/train.3/forecast", "forecast", "0" * 64, 1, 1, ("paillier",), "2030")
    context.books("run-1").book_received(heard)
    assert statuses(fed, "clinic", "run-1")[1]["lab"].text == "training, round 7"
    abort(fed.context("notary"), "run-1", "anything")
    with pytest.raises(CodedError):
        fed.stage(settle, "run-1", ["clinic"])
    row, found = statuses(fed, "clinic", "run-1")
    assert row.state == "aborted"
    assert {name: (one.state, one.text, one.code) for name, one in found.items() if name != "lab"} == {
        "clinic": ("aborted", "stopped: notary failed", "TMB-RUN-002"),
        "notary": ("aborted", "failed", "TMB-RUN-002"),
    }


def test_why_a_run_ends_is_shown_from_the_moment_it_is_heard(tmp_path):
    """First from what came in, then from this party's record, which still says so when the peer's artifact is gone."""
    fed = joined(tmp_path)
    fed.start()
    for party in ("clinic", "lab"):
        settings = yaml.safe_load(fed.settings(party).read_text())
        hidden = {"clinic": "lab", "lab": "notary"}[party]
        settings["peers"] = {hidden: f"file://{tmp_path / 'nothing'}"}
        fed.settings(party).write_text(yaml.safe_dump(settings))
    abort(fed.context("notary"), "run-1", TooFewCommon("3 of 20."), "align")
    abort(fed.context("clinic"), "run-1", fed.context("clinic").aborted("run-1"))
    error = fed.context("lab").aborted("run-1")
    row, found = statuses(fed, "lab", "run-1")
    assert row.state == "running" and found["clinic"].text == "stopped: it says that notary failed at align"
    assert str(row.failure) == f"clinic says that notary failed at align with TMB-ALIGN-011: {TooFewCommon.cause}"
    abort(fed.context("lab"), "run-1", error)
    clinic = fed.context("clinic")
    clinic.store.delete(clinic.handshake("run-1").address("abort", "lab", 0, "abort").head())
    runs._REPORTED.clear()
    row, found = statuses(fed, "lab", "run-1")
    assert (found["clinic"].text, found["clinic"].code) == ("aborted", "")
    assert (row.state, row.failure.remedy) == ("aborted", TooFewCommon.remedy)
    assert found["lab"].text == "stopped: clinic says that notary failed at align"


def test_a_record_from_before_aborts_named_their_origin_is_shown(tmp_path):
    fed = joined(tmp_path)
    fed.start()
    enter(fed.context("lab"), "run-1", "abort", "lab", code="TMB-EXCH-004", step=None)
    row, found = statuses(fed, "lab", "run-1")
    assert (row.state, found["lab"].text, found["lab"].code) == ("aborted", "failed", "TMB-EXCH-004")
    assert row.failure.meaning == PeerAborted.cause


def test_runs_come_newest_first_in_pages(tmp_path):
    fed = joined(tmp_path)
    names = [f"run-{number:02d}" for number in range(runs.PAGE + 2)]
    for name in names:
        invite(fed.context("clinic"), name)
    first, second = seen(fed).runs, seen(fed, page=2).runs
    assert (first.count, first.pages, len(first.rows), len(second.rows)) == (len(names), 2, runs.PAGE, 2)
    assert [row.run for row in (*first.rows, *second.rows)] == names[::-1]


def test_who_was_late_is_not_among_the_signers(fed):
    context = fed.context("clinic")
    noted = record(context).runs[RUN]
    noted.entries = [
        replace(entry, body={**entry.body, "signers": ["clinic", "notary"]}) if entry.kind == "settlement" else entry
        for entry in noted.entries
    ]
    found = {one.party: one.state for one in runs.statuses(context, noted, [], noted.at)}
    assert found == {"clinic": "settled", "lab": "late", "notary": "settled"}


def test_a_run_is_known_under_its_own_kind_only(fed):
    context = fed.context("lab")
    known = record(context)
    assert run.exists(context, known, RUN, "train")
    assert not run.exists(context, known, RUN, "predict") and not run.exists(context, known, "none", "train")


def test_an_agreement_that_cannot_be_used_says_why_and_who_has_signed(tmp_path):
    fed = joined(tmp_path)
    signature = next((tmp_path / "federations" / "trial" / "signatures").glob("*.lab.*"))
    signature.unlink()
    found = seen(fed)
    assert found.error.code == "TMB-AGREE-002" and found.runs is None
    assert {one.name: one.signature for one in found.summary.parties} == {"clinic": "signed", "lab": "lacking", "notary": "signed"}
    (tmp_path / "federations" / "trial" / "agreement.yaml").write_text("name: trial\n")
    found = seen(fed)
    assert found.error.code.startswith("TMB-") and found.summary is None


def test_stores_that_cannot_be_reached(tmp_path, monkeypatch):
    monkeypatch.setenv("TOMBOLO_S3_ACCESS_KEY", "anybody")
    monkeypatch.setenv("TOMBOLO_S3_SECRET_KEY", "anything")
    fed = joined(tmp_path)
    fed.start()
    settings = yaml.safe_load(fed.settings("lab").read_text())
    settings["peers"] = {"clinic": "s3://gone/away?endpoint=http://127.0.0.1:9"}
    fed.settings("lab").write_text(yaml.safe_dump(settings))
    context = fed.context("lab")
    booked = artifacts.traffic(context, record(context), "run-1")
    shown = artifacts.listing(context, "run-1", booked, artifacts.Filter("received", "clinic")).shown
    assert shown and {one.hash for one in shown} == {artifacts.UNREACHABLE}
    found = seen(fed, "lab")
    assert found.error is None and found.runs_error.code.startswith("TMB-STORE") and found.runs.count == 1


def test_a_run_that_went_on_without_this_party_is_skipped_and_nothing_is_red(tmp_path):
    fed = hospitals(tmp_path, horizontal={"absence": "skip"}, terms={"deadlines": {"join": 86400}})
    invite(fed.context("centre"), RUN)
    decline(fed.context("west"), RUN, "ada")
    row, parties = statuses(fed, "west")
    assert (row.state, parties["west"].state) == ("skipped", "skipped")
    others = [party for party in fed.parties if party != "west"]
    fed.run_all(lambda party: join(fed.context(party), RUN, FOREVER, progress=quiet), others)
    fed.stage(settle, RUN)
    for party in ("west", "north"):
        row, parties = statuses(fed, party)
        assert row.state == "settled" and parties["west"].text == "took no part"
        assert not {one.state for one in parties.values()} & {"aborted", "expired"}
    context = fed.context("west")
    assert run.closing(context, record(context), RUN).height == 1
    assert run.results(context, record(context), RUN).manifest is None
    assert run.progress(context, record(context), RUN).row.state == "settled"
