"""A client that comes after joining was closed: admitted before the next leg of training, or told that training is over."""

from __future__ import annotations

import pytest

from contracts.manifest import LateJoin
from fl_tasks.models.reading import part_of_run
from fl_tasks.models.reference import fit_alone
from fl_tasks.models.tensors import to_file
from fl_tasks.stages import latecomers
from fl_tasks.stages.abort import abort
from fl_tasks.stages.align import align
from fl_tasks.stages.closing import BadClosing
from fl_tasks.stages.evaluate import evaluate
from fl_tasks.stages.handshake import HANDSHAKE, BadJoin
from fl_tasks.stages.join import join
from fl_tasks.stages.publish import publish
from fl_tasks.stages.settle import settle
from fl_tasks.stages.train import train
from fl_tasks.stages.validate import validate
from fl_tasks.waiting import Wait, Waiting
from fl_tasks.workplace import Absent
from storage.canonical import canonical, parse
from tests.federation import FOREVER, Federation, quiet
from tests.fl_tasks.audit.settled import audited
from tests.fl_tasks.horizontal.hospitals import HOSPITALS, hospitals
from tests.fl_tasks.stages.test_absence import OTHERS, joined
from tests.fl_tasks.stages.test_horizontal import pooled_rows

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
        join(fed.place("west"), run, Wait(0), approver="ada", progress=quiet)
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
        train(fed.place("centre"), run, Wait(0), progress=quiet, leg_end=3)
    comes(fed, run)
    fed.stage(train, run, OTHERS, leg_end=3)
    facts = join(fed.place("west"), run, FOREVER, approver="ada", progress=quiet)
    assert facts["approvers"]["west"] == "ada"
    assert facts["manifest"] == fed.place("north").manifest(run).digest
    for stage in (validate, align):
        fed.stage(stage, run, ["west"])
    assert fed.stage(train, run, ["west"], leg_end=3)["west"]["round"] == 3
    trained = fed.stage(train, run)
    assert trained["west"]["loss"] == trained["north"]["loss"]
    for stage in (evaluate, publish):
        fed.stage(stage, run)
    x, y, test = pooled_rows(fed, run, HOSPITALS)
    weights, intercept = fit_alone("horizontal-logistic", x[~test], y[~test], 0.01)
    parts = [part_of_run(fed.place(party), run) for party in HOSPITALS]
    assert all(to_file(part.document) == to_file(parts[0].document) for part in parts)
    assert parts[3].weights == pytest.approx(weights, abs=1e-6)
    assert parts[3].intercept == pytest.approx(intercept, abs=1e-6)
    assert fed.place("centre").run_area(run).area("copies").names() == []
    done = fed.stage(settle, run)
    assert {one["block"] for one in done.values()} == {done["west"]["block"]}
    assert fed.place("north").blocks.get(1)["block"]["attested"] == sorted(fed.parties)
    assert done["north"]["unmatched"] == 0 and not done["north"]["disputed"]
    rows = done["north"]["contributions"]["training_rows"]
    assert rows["west"] > 0 and done["north"]["rewards"]["rewards"]["west"] > 0
    assert {party: audited(fed, party).findings for party in fed.parties} == {party: [] for party in fed.parties}


@pytest.mark.slow
def test_who_comes_when_training_is_over_is_told_so(tmp_path):
    fed = admitting(tmp_path)
    run = begun(fed, 30)
    with pytest.raises(Absent, match="training is over"):
        join(fed.place("west"), run, FOREVER, progress=quiet)
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
    west = fed.place("west")
    late = LateJoin.from_document(parse(west.run_area(run).get("late-join")))
    other = late.model_copy(update={"manifest": "ab" * 32})
    west.handshake(run).send(HANDSHAKE["late_join"], "centre", 0, {"document": canonical(other.document())})
    for stage in (validate, align):
        fed.stage(stage, run, OTHERS)
    with pytest.raises(Waiting):
        train(fed.place("centre"), run, Wait(0), progress=quiet)
    assert fed.place("centre").admitted(run) == []
    findings = [one for one in fed.place("centre").chain.entries(run) if one.kind == "finding"]
    assert [(one.subject, one.body["code"]) for one in findings] == [("west", BadJoin.code)]


@pytest.mark.parametrize("names", [["west"], ["north"], ["stranger"]], ids=["not-come", "in-time", "stranger"])
def test_latecomers_that_cannot_be(tmp_path, names):
    """The aggregator cannot count in a client that has said no such thing."""
    fed = admitting(tmp_path)
    run = joined(fed, OTHERS)
    fed.place("centre").handshake(run).send(HANDSHAKE["latecomers"], "north", 0, {"client": names})
    with pytest.raises(BadClosing):
        settle(fed.place("north"), run, FOREVER, progress=quiet)


def test_who_comes_to_a_run_that_was_aborted_skips_it(tmp_path):
    fed = admitting(tmp_path)
    run = joined(fed, OTHERS)
    comes(fed, run)
    abort(fed.place("centre"), run, ValueError("its disk is full"), "train")
    with pytest.raises(Absent, match="TMB-RUN-002"):
        join(fed.place("west"), run, FOREVER, progress=quiet)
    assert [one.kind for one in fed.place("west").chain.entries(run) if one.kind == "absence"] == ["absence"]
