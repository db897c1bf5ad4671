"""Runs that begin without some clients: who has not joined in time, or declines, is missed, and the ledger stays everybody's."""

from __future__ import annotations

import pytest

from tests.federation import FOREVER, Federation, quiet
from tests.fl_tasks.learning.horizontal.hospitals import HOSPITALS, hospitals
from tests.fl_tasks.ledger.audit.settled import audited, source
from tombolo.agreements.manifest import Closing, Decline
from tombolo.fl_tasks.learning.horizontal.newton import MESSAGES
from tombolo.fl_tasks.learning.horizontal.sums import _threshold
from tombolo.fl_tasks.ledger.audit.history import histories
from tombolo.fl_tasks.runtime.context import Absent
from tombolo.fl_tasks.runtime.waiting import PeerAborted, Wait, Waiting
from tombolo.fl_tasks.workflow.abort import abort
from tombolo.fl_tasks.workflow.absent import decline
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.closing import TooFewJoined
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.handshake import HANDSHAKE, columns_of, sign_answer
from tombolo.fl_tasks.workflow.join import invite, join, pending
from tombolo.fl_tasks.workflow.publish import publish
from tombolo.fl_tasks.workflow.retain import retain
from tombolo.fl_tasks.workflow.settle import settle
from tombolo.fl_tasks.workflow.train import train
from tombolo.fl_tasks.workflow.validate import validate
from tombolo.storage.canonical import parse
from tombolo.storage.exchange import Exchange

OTHERS = ["north", "east", "south", "centre"]


def skipping(tmp_path, join_seconds: float = 2.0, **terms) -> Federation:
    """Hospitals that may miss a run; the centre closes joining when these seconds have passed."""
    return hospitals(tmp_path, horizontal={"absence": "skip"}, terms={"deadlines": {"join": join_seconds}, **terms}, tolerance=1e-4)


def joined(fed: Federation, parties: list[str], run: str = "run-1") -> str:
    invite(fed.context("centre"), run)
    fed.run_all(lambda party: join(fed.context(party), run, FOREVER, progress=quiet), parties)
    return run


@pytest.mark.slow
def test_a_whole_run_without_a_client_that_comes_too_late(tmp_path):
    fed = skipping(tmp_path)
    run = joined(fed, OTHERS)
    assert [one.run for one in pending(fed.context("west"))] == [run]
    for stage in (validate, align, train, evaluate, publish):
        fed.stage(stage, run, OTHERS)
        with pytest.raises(Absent):  # it may come at any time, and hears the same
            join(fed.context("west"), run, FOREVER, progress=quiet)
    with pytest.raises(Absent):
        evaluate(fed.context("west"), run, FOREVER, progress=quiet)
    assert pending(fed.context("west")) == []
    done = fed.stage(settle, run)
    assert {one["block"] for one in done.values()} == {done["west"]["block"]}
    block = fed.context("west").blocks.get(1)["block"]
    assert block["attested"] == sorted(OTHERS) and block["parties"] == sorted(fed.parties)
    assert not (fed.root / "west" / "store").joinpath("private/trial/runs/run-1/secret").exists()
    assert {party: audited(fed, party).findings for party in fed.parties} == {party: [] for party in fed.parties}


def test_whoever_declines_is_not_waited_for(tmp_path):
    fed = skipping(tmp_path, join_seconds=86400)
    invite(fed.context("centre"), "run-1")
    decline(fed.context("south"), "run-1", "ada")
    with pytest.raises(Absent):
        join(fed.context("south"), "run-1", FOREVER, progress=quiet)
    others = [party for party in fed.parties if party != "south"]
    fed.run_all(lambda party: join(fed.context(party), "run-1", FOREVER, progress=quiet), others)
    closing = Closing.from_document(parse(fed.context("north").run_area("run-1").get("closing")))
    assert (closing.joined, closing.declined) == (("north", "east", "west"), ("south",))
    assert fed.context("north").agreed("run-1").parties == sorted(others)
    done = fed.stage(settle, "run-1")
    assert done["south"]["block"] == done["north"]["block"]
    history = histories(source(fed, "south"))[0]["run-1"]
    assert [one["body"]["by"] for one in history.of_kind("absence")] == ["ada"]
    assert {party: audited(fed, party).findings for party in fed.parties} == {party: [] for party in fed.parties}


def test_stopped_at_every_wait(tmp_path):
    """Everybody forgets everything again and again, the absent one too: the same manifest and the same block."""
    fed = skipping(tmp_path, join_seconds=86400)
    invite(fed.context("centre"), "run-1")
    decline(fed.context("west"), "run-1", "ada")
    results, stops = {}, 0
    for stage, parties in ((join, OTHERS), (settle, list(fed.parties))):
        results[stage] = {}
        while len(results[stage]) < len(parties):
            assert stops < 300
            for party in [one for one in parties if one not in results[stage]]:
                try:
                    results[stage][party] = stage(fed.context(party), "run-1", Wait(0), progress=quiet)
                except Waiting:
                    stops += 1
    assert stops > 10
    assert len({one["manifest"] for one in results[join].values()}) == len({one["block"] for one in results[settle].values()}) == 1
    again = join(fed.context("north"), "run-1", Wait(0), progress=quiet)
    assert again == results[join]["north"]
    assert {party: audited(fed, party).findings for party in fed.parties} == {party: [] for party in fed.parties}


def test_a_client_that_was_away_takes_the_block_when_it_settles_the_next_run(tmp_path):
    """West has seen nothing of two runs; the third one's block follows theirs. What it needs of them outlives retention."""
    fed = skipping(tmp_path, retention={"artifacts_days": 0})
    for run in ("run-1", "run-2"):
        fed.stage(settle, joined(fed, OTHERS, run), OTHERS)
    for party in OTHERS:
        assert retain(fed.context(party), progress=quiet)["runs"] == ["run-1", "run-2"]
    done = fed.stage(settle, joined(fed, list(fed.parties), "run-3"))
    assert done["west"]["height"] == 3 and fed.context("west").blocks.get(3)["block"]["attested"] == sorted(fed.parties)
    assert fed.context("west").blocks.height() == 3
    assert {fed.context("west").blocks.get(2)["block"]["run"], fed.context("west").blocks.get(1)["block"]["run"]} == {
        "run-1",
        "run-2",
    }
    assert {party: audited(fed, party).findings for party in fed.parties} == {party: [] for party in fed.parties}


def test_below_the_threshold_there_is_no_run(tmp_path):
    fed = skipping(tmp_path, join_seconds=86400)
    invite(fed.context("centre"), "run-1")
    for party in ("east", "south"):
        decline(fed.context(party), "run-1", "ada")
    with pytest.raises(Waiting):
        join(fed.context("north"), "run-1", Wait(0), progress=quiet)
    with pytest.raises(Waiting):
        join(fed.context("west"), "run-1", Wait(0), progress=quiet)
    with pytest.raises(TooFewJoined) as few:
        join(fed.context("centre"), "run-1", FOREVER, progress=quiet)
    assert "2 have joined; at least 3" in str(few.value)
    abort(fed.context("centre"), "run-1", few.value)
    with pytest.raises(PeerAborted, match=TooFewJoined.code):
        join(fed.context("north"), "run-1", FOREVER, progress=quiet)
    with pytest.raises(Absent):  # the run has no block, and there is nothing to keep
        settle(fed.context("east"), "run-1", FOREVER, progress=quiet)
    assert histories(source(fed, "east"))[0]["run-1"].state == "goes on without this party"


def test_a_client_that_fails_before_it_has_joined_stops_nobody(tmp_path):
    fed = skipping(tmp_path)
    invite(fed.context("centre"), "run-1")
    abort(fed.context("west"), "run-1", ValueError("its disk is full"), "join")
    fed.run_all(lambda party: join(fed.context(party), "run-1", FOREVER, progress=quiet), OTHERS)
    assert fed.context("east").agreed("run-1").parties == sorted(OTHERS)


def test_who_has_joined_cannot_decline_any_more(tmp_path):
    fed = skipping(tmp_path, join_seconds=86400)
    invite(fed.context("centre"), "run-1")
    with pytest.raises(Waiting):
        join(fed.context("west"), "run-1", Wait(0), progress=quiet)
    decline(fed.context("west"), "run-1", "ada")
    fed.run_all(lambda party: join(fed.context(party), "run-1", FOREVER, progress=quiet))
    assert fed.context("west").manifest("run-1").parties == sorted(fed.parties)


def test_an_answer_that_cannot_be_is_none(tmp_path):
    """West answers another invitation: the others are not held up, and the centre takes it for absent."""
    fed = skipping(tmp_path)
    invite(fed.context("centre"), "run-1")
    west = fed.context("west")
    foreign = Decline(run="run-1", party="west", invitation_digest="ab" * 32, decliner="eve", created="2026-01-01T00:00:00+00:00")
    west.handshake("run-1").send(HANDSHAKE["join"], "centre", 0, columns_of(sign_answer(west, foreign.document())))
    fed.run_all(lambda party: join(fed.context(party), "run-1", FOREVER, progress=quiet), OTHERS)
    assert fed.context("east").agreed("run-1").parties == sorted(OTHERS)


def test_the_threshold_is_of_the_agreements_clients(tmp_path):
    fed = skipping(tmp_path)
    run = joined(fed, OTHERS)
    with fed.context("north").session(run, MESSAGES, "train", FOREVER, quiet) as session:
        assert session.clients == ["north", "east", "south"] and session.enrolled == list(HOSPITALS)
        assert _threshold(session) == 3
        assert session.terms.task.horizontal_terms.threshold_of(2) == 2  # what it would be of a smaller cohort


def test_a_client_that_gives_up_before_it_has_signed_stops_nobody(tmp_path):
    """Enough others have signed the manifest."""
    terms = {"deadlines": {"join": 86400, "message": 3}}
    fed = hospitals(tmp_path, horizontal={"absence": "skip", "step_seconds": 2}, terms=terms)
    invite(fed.context("centre"), "run-1")
    with pytest.raises(Waiting):
        join(fed.context("west"), "run-1", Wait(0), progress=quiet)
    abort(fed.context("west"), "run-1", ValueError("its disk is full"), "join")
    fed.run_all(lambda party: join(fed.context(party), "run-1", FOREVER, progress=quiet), OTHERS)
    assert "west" in fed.context("east").agreed("run-1").parties
    assert "west" not in fed.context("east").run_area("run-1").area("signatures").names()


def test_who_is_absent_gets_the_block_though_a_participant_has_given_up(tmp_path):
    fed = skipping(tmp_path)
    run = joined(fed, OTHERS)
    abort(fed.context("south"), run, ValueError("its disk is full"), "train")
    done = fed.stage(settle, run, OTHERS)
    assert settle(fed.context("west"), run, FOREVER, progress=quiet)["block"] == done["north"]["block"]


@pytest.mark.parametrize("lie", ["previous run", "signature", "block"])
def test_who_is_absent_gets_the_block_beside_a_liar(tmp_path, monkeypatch, lie):
    """North, the first in order, shows another run before this one, another block, or no signature; the others' count."""
    fed = skipping(tmp_path)
    real = Exchange.send

    def send(self, message, recipient, round, columns):
        if self.me.name == "north" and recipient == "west" and message.name == "absentees_block":
            changes = {"previous run": {"previous_run": "run-0"}, "block": {"document": b"{}"}}
            columns = {**columns, **changes.get(lie, {})}
        return real(self, message, recipient, round, columns)

    monkeypatch.setattr(Exchange, "send", send)
    for run in ("run-1", "run-2"):
        joined(fed, OTHERS, run)
        if lie == "signature":
            (signature,) = (tmp_path / "north" / "store").glob(f"to-west/trial/{run}/000000/sign/manifest_signature/head")
            signature.unlink()
        done = fed.stage(settle, run, OTHERS)
    assert settle(fed.context("west"), "run-2", FOREVER, progress=quiet)["block"] == done["east"]["block"]
    assert fed.context("west").blocks.height() == 2
    assert audited(fed, "west").findings == []
