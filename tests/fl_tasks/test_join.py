"""Joining: one manifest at every party, shared seeds, and everything that must stop a run before data is touched."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tests.federation import FOREVER, Federation, federation, quiet
from tombolo.agreements.parameters import BadParameter
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.runtime.waiting import PeerAborted, PeerSilent, Wait, Waiting
from tombolo.fl_tasks.workflow.abort import abort
from tombolo.fl_tasks.workflow.handshake import SEEDS
from tombolo.fl_tasks.workflow.join import BadRunId, NoInvitation, invite, join, pending
from tombolo.storage.envelope import ForeignBinding
from tombolo.storage.schema import Message, MessageSet, Public

TABLE = pa.table({"id": ["a", "b"], "x": [1.0, 2.0]})
TALK = MessageSet("talk", Message("word", ("guest", "host"), ("guest", "host"), {"n": Public("int64", "test")}, learns="n"))


@pytest.fixture
def three(tmp_path) -> Federation:
    return federation(tmp_path, {"clinic": TABLE, "lab": TABLE})


def test_all_build_the_same_manifest(three):
    run = three.start(rounds=7)
    manifests = [three.context(party).manifest(run) for party in three.parties]
    assert len({one.digest for one in manifests}) == 1
    assert manifests[0].invitation.parameters["rounds"] == 7
    assert three.context("lab").run_area(run).names("signatures/") == [
        "signatures/clinic",
        "signatures/lab",
        "signatures/notary",
    ]
    before = manifests[0].digest
    three.run_all(lambda party: join(three.context(party), run, FOREVER, progress=quiet))
    assert three.context("clinic").manifest(run).digest == before


def test_invitations_are_found_until_joined(three):
    assert pending(three.context("lab")) == []
    invite(three.context("clinic"), "run-1")
    assert [(one.run, one.kind) for one in pending(three.context("lab"))] == [("run-1", "train")]
    three.start("run-1")
    assert pending(three.context("lab")) == [] and pending(three.context("clinic")) == []


def test_seeds_are_shared_by_the_data_parties_alone(three):
    run = three.start()
    sessions = {party: three.context(party).session(run, TALK, "talk", FOREVER, quiet) for party in three.parties}
    words = {party: sessions[party].pair(other).derive("x") for party, other in (("clinic", "lab"), ("lab", "clinic"))}
    assert words["clinic"] == words["lab"]
    assert sessions["clinic"].common().derive("x") == sessions["lab"].common().derive("x")
    with pytest.raises(RuntimeError):
        sessions["notary"].common()
    assert not SEEDS["common_seed"].heard_by("arbiter")


def talk(session: Session) -> list[int]:
    heard = []
    for number in session.rounds():
        if session.role == "arbiter":
            session.checkpoint({"sum": 0})
            continue
        session.send("word", n=number)
        heard += [session.scalar(table, "n") for table in session.receive_all("word").values()]
        session.checkpoint({"sum": sum(heard), "stopped": number == 4})
    return heard


def test_legs_go_on_from_the_checkpoint(three):
    run = three.start(rounds=9)
    programs = dict.fromkeys(("guest", "host", "arbiter"), talk)
    assert three.roles(run, TALK, "talk", programs, leg_end=3)["clinic"] == [1, 2, 3]
    again = three.roles(run, TALK, "talk", programs, leg_end=3)
    assert again["clinic"] == []
    assert three.roles(run, TALK, "talk", programs, leg_end=9)["lab"] == [4]
    with three.context("lab").session(run, TALK, "talk", FOREVER, quiet) as session:
        assert list(session.rounds(9)) == [] and session.latest["round"] == 4 and session.finished


def test_own_randomness_repeats_and_labels_are_used_once(three):
    run = three.start()
    drawn = []
    for _ in range(2):
        with three.context("lab").session(run, TALK, "talk", FOREVER, quiet) as session:
            next(session.rounds(3))
            drawn.append(session.prf("mask").derive())
            with pytest.raises(RuntimeError):
                session.prf("mask")
    assert drawn[0] == drawn[1]


def test_a_silent_peer_defers_then_fails_by_name(tmp_path):
    silent = federation(tmp_path, {"clinic": TABLE, "lab": TABLE}, deadlines={"message": 0.4, "join": 30, "run": 3600})
    run = silent.start()
    with pytest.raises(Waiting) as waiting, silent.context("clinic").session(run, TALK, "t", Wait(0.05), quiet) as session:
        session.receive("word", "lab")
    assert waiting.value.party == "lab" and waiting.value.key.endswith("/word/head")
    with pytest.raises(PeerSilent) as gone, silent.context("clinic").session(run, TALK, "t", FOREVER, quiet) as session:
        session.receive("word", "lab")
    assert "lab" in str(gone.value) and "word" in str(gone.value) and gone.value.step == "t"


def test_an_abort_reaches_everybody(three):
    run = three.start()
    abort(three.context("lab"), run, ValueError("salary of Ada: 12345"), "align")
    for party in ("clinic", "notary"):
        with pytest.raises(PeerAborted) as caught, three.context(party).session(run, TALK, "t", FOREVER, quiet):
            pass
        assert "lab" in str(caught.value) and "TMB-RUN-002" in str(caught.value) and "12345" not in str(caught.value)


def test_bad_run_ids_parameters_and_unknown_runs_are_refused(three):
    with pytest.raises(BadRunId):
        invite(three.context("clinic"), "../x")
    with pytest.raises(BadParameter):
        invite(three.context("clinic"), "r", choices={"rounds": 7, "l2": 9.0})
    with pytest.raises(NoInvitation):
        join(three.context("lab"), "nobody-asked", FOREVER, progress=quiet)


def test_a_differing_agreement_names_both_digests(tmp_path):
    (tmp_path / "1").mkdir()
    one, other = federation(tmp_path / "1", {"clinic": TABLE, "lab": TABLE}), tmp_path / "2"
    other.mkdir()
    differing = federation(other, {"clinic": TABLE, "lab": TABLE}, leg=7)
    settings = differing.settings("lab")
    settings.write_text(settings.read_text() + f"peers:\n  clinic: file://{one.root / 'clinic' / 'store'}\n")
    invite(one.context("clinic"), "run-1")
    assert [summons.run for summons in pending(differing.context("lab"))] == ["run-1"]
    with pytest.raises(ForeignBinding) as caught:
        join(differing.context("lab"), "run-1", FOREVER, progress=quiet)
    assert one.context("clinic").agreement.digest[:16] in str(caught.value)
    assert differing.context("lab").agreement.digest[:16] in str(caught.value)
