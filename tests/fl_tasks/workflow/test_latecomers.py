"""A client that comes after joining was closed: admitted before the next leg of training, or told that training is over."""

from __future__ import annotations

import pytest

from tests.federation import FOREVER, Federation, party_keys, quiet
from tests.fl_tasks.learning.horizontal.hospitals import HOSPITALS, hospitals
from tests.fl_tasks.ledger.audit.settled import audited
from tests.fl_tasks.workflow.test_absence import OTHERS, joined
from tests.fl_tasks.workflow.test_horizontal import pooled_rows
from tombolo.agreements.manifest import LateJoin
from tombolo.fl_tasks.learning import regression
from tombolo.fl_tasks.models.reading import part_of_run
from tombolo.fl_tasks.models.tensors import to_file
from tombolo.fl_tasks.runtime.context import Absent
from tombolo.fl_tasks.runtime.state import JOIN
from tombolo.fl_tasks.runtime.waiting import Wait, Waiting
from tombolo.fl_tasks.workflow import latecomers
from tombolo.fl_tasks.workflow.abort import abort
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.closing import BadClosing
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.handshake import HANDSHAKE, BadJoin, columns_of, sign_answer
from tombolo.fl_tasks.workflow.join import join
from tombolo.fl_tasks.workflow.publish import publish
from tombolo.fl_tasks.workflow.settle import settle
from tombolo.fl_tasks.workflow.train import train
from tombolo.fl_tasks.workflow.validate import validate
from tombolo.storage.canonical import parse
from tombolo.storage.exchange import Exchange
from tombolo.storage.identity import encode_key

PAID = {"budget": 1000, "method": "volume"}


def admitting(tmp_path, **terms) -> Federation:
    given = {"deadlines": {"join": 2.0}, "incentives": PAID, **terms}
    return hospitals(tmp_path, horizontal={"absence": "admit"}, terms=given)


def begun(fed: Federation, leg_end: int) -> str:
    """A run of all hospitals but west, some rounds of it done."""
    run = joined(fed, OTHERS)
    for stage in (validate, align):
        fed.stage(stage, run, OTHERS)
    fed.stage(train, run, OTHERS, leg_end=leg_end)
    return run


def comes(fed: Federation, run: str) -> None:
    with pytest.raises(Waiting) as waiting:
        join(fed.context("west"), run, Wait(0), approver="ada", progress=quiet)
    assert (waiting.value.party, waiting.value.message) == ("centre", "admission")


class Stopped(Exception):
    """A process is gone."""


def stop(*_: object) -> None:
    raise Stopped


@pytest.mark.slow
def test_a_client_that_comes_late_is_in_the_model_and_in_the_ledger(tmp_path, monkeypatch):
    """West comes after two rounds; it goes through what it missed, and the model is that of all four hospitals' rows."""
    fed = admitting(tmp_path)
    run = begun(fed, 2)
    comes(fed, run)
    with monkeypatch.context() as patched, pytest.raises(Stopped):  # the centre is stopped before it has sent a single copy
        patched.setattr(latecomers, "_send_copies", stop)
        train(fed.context("centre"), run, Wait(0), progress=quiet, leg_end=3)
    comes(fed, run)
    fed.stage(train, run, OTHERS, leg_end=3)
    facts = join(fed.context("west"), run, FOREVER, approver="ada", progress=quiet)
    assert facts["approvers"]["west"] == "ada"
    assert facts["manifest"] == fed.context("north").manifest(run).digest
    for stage in (validate, align):
        fed.stage(stage, run, ["west"])
    assert fed.stage(train, run, ["west"], leg_end=3)["west"]["round"] == 3
    trained = fed.stage(train, run)
    assert trained["west"]["loss"] == trained["north"]["loss"]
    for stage in (evaluate, publish):
        fed.stage(stage, run)
    x, y, test = pooled_rows(fed, run, HOSPITALS)
    weights, intercept = regression.logistic(x[~test], y[~test], 0.01)
    parts = [part_of_run(fed.context(party), run) for party in HOSPITALS]
    assert all(to_file(part.document) == to_file(parts[0].document) for part in parts)
    assert parts[3].weights == pytest.approx(weights, abs=1e-6)
    assert parts[3].intercept == pytest.approx(intercept, abs=1e-6)
    assert fed.context("centre").run_area(run).area("copies").names() == []
    done = fed.stage(settle, run)
    assert {one["block"] for one in done.values()} == {done["west"]["block"]}
    assert fed.context("north").blocks.get(1)["block"]["attested"] == sorted(fed.parties)
    assert done["north"]["unmatched"] == 0 and not done["north"]["disputed"]
    rows = done["north"]["contributions"]["training_rows"]
    assert rows["west"] > 0 and done["north"]["rewards"]["rewards"]["west"] > 0
    assert {party: audited(fed, party).findings for party in fed.parties} == {party: [] for party in fed.parties}


@pytest.mark.slow
@pytest.mark.parametrize("others", ["nothing", "another key"])
def test_a_late_join_that_only_the_aggregator_has_counts_for_all(tmp_path, monkeypatch, others):
    fed = admitting(tmp_path)
    run = begun(fed, 2)
    real = Exchange.send

    def send(self, message, recipient, round, columns):
        forged = (self.me.name, message.name) == ("west", "late_join") and recipient != "centre"
        if forged and others == "nothing":
            return 0
        if forged:
            said = {**parse(columns["document"][0]), "seal": encode_key(party_keys("east").sealing.public().raw)}
            columns = columns_of(sign_answer(fed.context("west"), said))
        return real(self, message, recipient, round, columns)

    monkeypatch.setattr(Exchange, "send", send)
    comes(fed, run)
    fed.stage(train, run, OTHERS, leg_end=3)
    join(fed.context("west"), run, FOREVER, approver="ada", progress=quiet)
    for stage in (validate, align):
        fed.stage(stage, run, ["west"])
    fed.stage(train, run, ["west"], leg_end=3)
    for stage in (train, evaluate, publish):
        fed.stage(stage, run)
    done = fed.stage(settle, run)
    assert {one["block"] for one in done.values()} == {done["west"]["block"]}
    assert fed.context("north").blocks.get(1)["block"]["attested"] == sorted(fed.parties)


@pytest.mark.slow
def test_who_comes_when_training_is_over_is_told_so(tmp_path):
    fed = admitting(tmp_path)
    run = begun(fed, 30)
    with pytest.raises(Absent, match="training is over"):
        join(fed.context("west"), run, FOREVER, progress=quiet)
    for stage in (evaluate, publish):
        fed.stage(stage, run, OTHERS)
    done = fed.stage(settle, run)
    assert done["west"]["block"] == done["centre"]["block"] and done["west"]["rewards"]["rewards"]["west"] == 0
    assert {party: audited(fed, party).findings for party in fed.parties} == {party: [] for party in fed.parties}


def test_a_late_join_to_another_manifest_is_recorded_and_admits_nobody(tmp_path):
    fed = admitting(tmp_path)
    run = joined(fed, OTHERS)
    comes(fed, run)
    path = next((tmp_path / "west" / "store").glob("to-centre/trial/run-1/000000/late/late_join/head"))
    path.unlink()
    west = fed.context("west")
    late = LateJoin.from_document(parse(west.run_area(run).get("late-join")))
    other = late.model_copy(update={"manifest": "ab" * 32})
    west.handshake(run).send(HANDSHAKE["late_join"], "centre", 0, columns_of(sign_answer(west, other.document())))
    for stage in (validate, align):
        fed.stage(stage, run, OTHERS)
    with pytest.raises(Waiting):
        train(fed.context("centre"), run, Wait(0), progress=quiet)
    assert fed.context("centre").admitted(run) == []
    findings = [one for one in fed.context("centre").chain.entries(run) if one.kind == "finding"]
    assert [(one.subject, one.body["code"]) for one in findings] == [("west", BadJoin.code)]


@pytest.mark.parametrize("names", [["west"], ["north"], ["stranger"]], ids=["not-come", "in-time", "stranger"])
def test_latecomers_that_cannot_be(tmp_path, names):
    """The aggregator cannot count in a client that has said no such thing."""
    fed = admitting(tmp_path)
    run = joined(fed, OTHERS)
    centre = fed.context("centre")
    forged = sign_answer(centre, {**centre.state(run)[JOIN], "party": names[0]})
    centre.handshake(run).send(HANDSHAKE["latecomers"], "north", 0, {"client": names, **columns_of(forged)})
    with pytest.raises(BadClosing):
        settle(fed.context("north"), run, FOREVER, progress=quiet)


def test_who_comes_to_a_run_that_was_aborted_skips_it(tmp_path):
    fed = admitting(tmp_path)
    run = joined(fed, OTHERS)
    comes(fed, run)
    abort(fed.context("centre"), run, ValueError("its disk is full"), "train")
    with pytest.raises(Absent, match="TMB-RUN-002"):
        join(fed.context("west"), run, FOREVER, progress=quiet)
    assert [one.kind for one in fed.context("west").chain.entries(run) if one.kind == "absence"] == ["absence"]
