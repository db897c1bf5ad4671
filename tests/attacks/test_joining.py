"""A client with valid keys answers an invitation with nonsense: the others begin without it, and the record names it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bounds import outcome
from tests.federation import FOREVER, Federation, federation, invite, join, party_keys, quiet
from tests.fl_tasks.learning.horizontal.hospitals import HOSPITALS, hospitals
from tests.fl_tasks.ledger.audit.settled import source
from tests.fl_tasks.workflow.test_pipeline import tables
from tests.fl_tasks.workflow.test_retain import later
from tombolo.agreements.agreement import Agreement, public_half
from tombolo.agreements.manifest import Closing, Decline, Invitation, Join, LateJoin
from tombolo.fl_tasks.ledger.audit.history import histories
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.waiting import Wait, Waiting
from tombolo.fl_tasks.workflow.handshake import HANDSHAKE, JOIN_DOMAIN, BadJoin
from tombolo.fl_tasks.workflow.join import BadInvitation, pending
from tombolo.fl_tasks.workflow.retain import retain
from tombolo.storage.canonical import canonical, parse
from tombolo.storage.errors import CodedError
from tombolo.storage.exchange import Exchange
from tombolo.storage.identity import PartyKeys, SealRefused, SignatureRefused, encode_key
from tombolo.storage.moments import WrongTime

LIAR = "west"
LONGEST_DOCUMENT = 1 << 20
FOREIGN = party_keys("north").signing
LOW_ORDER = encode_key(party_keys("west").sealing.public().raw[:-32] + bytes(32))


def resigned(columns: dict[str, Any]) -> dict[str, Any]:
    """The liar signs what it says."""
    key = party_keys(LIAR).signing
    return {"signature": [key.sign(JOIN_DOMAIN, one) for one in columns["document"]], **columns}


def field(**changed: Any) -> Any:
    def change(columns: dict[str, Any]) -> dict[str, Any]:
        return {"document": [canonical({**parse(columns["document"][0]), **changed})]}

    return change


LIES = {
    "no row": lambda columns: {"document": []},
    "two rows": lambda columns: {"document": columns["document"] * 2},
    "no document": lambda columns: {"document": [b"\xff\xfe"]},
    "not canonical": lambda columns: {"document": [columns["document"][0].replace(b":", b": ", 1)]},
    "a list": lambda columns: {"document": [canonical([1, 2, 3])]},
    "another party": field(party="north"),
    "another run": field(run="run-9"),
    "a sealing key that is none": field(seal="AAAA"),
    "a sealing key of low order": field(seal=LOW_ORDER),
    "a time at the end of time": field(created="9999-12-31T23:59:59-23:59"),
    "a long name": field(approver="x" * 5000),
    "a field more": field(more=1),
    "a huge document": lambda columns: {"document": [bytes(1 << 20)]},
    "another's signature": lambda columns: {**columns, "signature": [FOREIGN.sign(JOIN_DOMAIN, columns["document"][0])]},
}


def attempt(fed: Federation, patch: pytest.MonkeyPatch, change: Any) -> dict[str, str]:
    """Everybody joins; what the liar sends as its join is changed. Returns how it ended, by party."""
    real, ended = Exchange.send, {}

    def send(self, message, recipient, round, columns):
        forged = self.me.name == LIAR and message.name == "join"
        return real(self, message, recipient, round, resigned(change(columns)) if forged else columns)

    def one(party: str) -> None:
        try:
            ended[party] = join(fed.context(party), "run-1", FOREVER, progress=quiet)["manifest"]
            fed.context(party).exchange("run-1")  # what the next task begins with
        except CodedError as error:
            ended[party] = str(error)

    patch.setattr(Exchange, "send", send)
    fed.run_all(one)
    patch.undo()
    return ended


@pytest.mark.slow
@pytest.mark.parametrize("lie", LIES)
def test_the_others_begin_without_the_liar(tmp_path, monkeypatch, lie):
    fed = hospitals(tmp_path, horizontal={"absence": "skip"}, terms={"deadlines": {"join": 3, "message": 20}})
    invite(fed.context("centre"), "run-1")
    ended = attempt(fed, monkeypatch, LIES[lie])
    honest = ["centre", *HOSPITALS[:3]]
    assert len({ended[party] for party in honest}) == 1 and len(ended["north"]) == 64, ended
    assert list(fed.context("north").taking_part("run-1")) == [*HOSPITALS[:3], "centre"]
    found = histories(source(fed, "centre"))[0]["run-1"].of_kind("finding")
    assert [one["subject"] for one in found] == [LIAR]


def two_faced(message: str, to: str, change: Any) -> Any:
    """The liar tells one party something else than the others, or nothing (``change`` is None)."""

    real = Exchange.send

    def send(self, sent, recipient, round, columns):
        forged = self.me.name == LIAR and (sent.name, recipient == "centre") == (message, to == "centre")
        if forged and change is None:
            return 0
        return real(self, sent, recipient, round, change(columns) if forged else columns)

    return send


@pytest.mark.slow
@pytest.mark.parametrize(
    ("message", "to", "change"),
    [
        ("join", "others", None),
        ("join", "others", lambda columns: resigned(field(approver="mallory")(columns))),
        ("manifest_signature", "others", lambda columns: {"signature": bytes(3374)}),
        ("manifest_signature", "centre", lambda columns: {"signature": b""}),
        ("manifest_signature", "centre", None),
    ],
)
def test_the_others_begin_with_a_liar_that_tells_two_things(tmp_path, monkeypatch, message, to, change):
    """What the liar told the centre counts for all; a run needs enough signatures, not all."""
    fed = hospitals(tmp_path, horizontal={"absence": "skip", "step_seconds": 2}, terms={"deadlines": {"join": 20, "message": 4}})
    invite(fed.context("centre"), "run-1")
    monkeypatch.setattr(Exchange, "send", two_faced(message, to, change))
    honest = ["centre", *HOSPITALS[:3]]
    ended = {}

    def one(party: str) -> None:
        try:
            ended[party] = join(fed.context(party), "run-1", Wait(15), progress=quiet)["manifest"]
        except (CodedError, Waiting) as error:
            ended[party] = str(error)

    fed.run_all(one)
    assert len({ended[party] for party in honest}) == 1 and len(ended["north"]) == 64, ended
    assert LIAR in fed.context("north").taking_part("run-1")


def test_where_all_must_join_the_liar_is_named(tmp_path, monkeypatch):
    fed = hospitals(tmp_path, terms={"deadlines": {"join": 5, "message": 20}})
    invite(fed.context("centre"), "run-1")
    ended = attempt(fed, monkeypatch, LIES["a sealing key that is none"])
    assert all(BadJoin.code in ended[party] and f"party {LIAR}" in ended[party] for party in ("centre", *HOSPITALS[:3]))


# -- the invitation ---------------------------------------------------------------------------------------------------------


def invited(fed: Federation, patch: pytest.MonkeyPatch, **changed: Any) -> None:
    """The guest's own program writes something else into the invitation that it signs."""
    real = Invitation.document
    patch.setattr(Invitation, "document", lambda self: {**real(self), **changed})
    invite(fed.context(fed.guest), "run-1")
    patch.undo()


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"expires": "2190-01-01T00:00:00+00:00"}, BadInvitation),
        ({"expires": "9999-12-31T23:59:59+00:00"}, CodedError),
        ({"expires": "2001-01-01T00:00:00+00:00"}, BadInvitation),
        ({"created": "2190-01-01T00:00:00+00:00"}, WrongTime),
        ({"as_of": "2190-01-01T00:00:00+00:00"}, WrongTime),
        ({"as_of": "0001-01-01T00:00:00+23:59"}, CodedError),
        ({"parameters": {"x" * 5000: 1}}, CodedError),
        ({"parameters": {}}, CodedError),
    ],
)
def test_an_invitation_that_cannot_be_stops_nothing_else(tmp_path, monkeypatch, changed, error):
    """It is listed, its join fails and names the guest, and the nightly deletion goes on."""
    fed = federation(tmp_path, tables(), retention={"artifacts_days": 1})
    invited(fed, monkeypatch, **changed)
    lab: PartyContext = fed.context("lab")
    assert [summons.run for summons in pending(lab)] == ["run-1"]
    with pytest.raises(error) as caught:
        join(lab, "run-1", FOREVER, progress=quiet)
    assert caught.value.party == "clinic"
    assert retain(fed.context("lab"), progress=quiet) == {"runs": [], "objects": 0}


def test_one_run_that_cannot_be_erased_does_not_keep_the_others(tmp_path):
    fed = federation(tmp_path, tables(), retention={"artifacts_days": 1})
    for run in ("run-1", "run-2"):
        fed.start(run)
    (broken,) = (fed.root / "lab" / "store" / "private" / "trial" / "runs" / "run-1").glob("manifest")
    broken.chmod(0o600)
    broken.write_bytes(b"nonsense")
    with pytest.raises(SealRefused):
        retain(fed.context("lab"), later(400), quiet)
    assert not fed.context("lab").store.list("to-clinic/trial/run-2/")


# -- a stolen key -----------------------------------------------------------------------------------------------------------


def test_a_revoked_key_signs_and_opens_nothing_in_the_next_run(tmp_path):
    """A thief has the lab's keys and writes into its store. An amendment pins new keys: the next run refuses the thief."""
    fed = federation(tmp_path, tables())
    stolen, fresh = party_keys("lab"), PartyKeys.new("lab")
    thief = fed.context("lab")  # the agreement and the keys as the thief copied them
    agreed = Agreement.load(fed.root / "federations" / "trial", shortest_key=256)
    agreed.write_amendment([{"pin": {"party": "lab", **public_half(fresh)}}])
    for keys in (party_keys("clinic"), stolen, party_keys("notary"), fresh):
        Agreement.load(agreed.folder, verify=False, shortest_key=256).sign(keys)
    (fed.root / "lab" / "keys.json").unlink()
    PartyKeys("lab", fresh.signing, fresh.sealing, stolen.vault).save(fed.root / "lab" / "keys.json")
    made = invite(fed.context("clinic"), "run-2")
    with pytest.raises(CodedError):  # the thief cannot open the invitation, which is sealed to the new key
        join(thief, "run-2", FOREVER, progress=quiet)
    forged = thief.handshake("run-2")
    forged.binding = fed.context("clinic").agreement.digest
    said = canonical({"party": "lab", "run": made.run})
    signed = stolen.signing.sign(JOIN_DOMAIN, said)
    forged.send(HANDSHAKE["join"], "clinic", 0, {"document": said, "signature": signed})
    with pytest.raises(SignatureRefused) as caught:
        join(fed.context("clinic"), "run-2", FOREVER, progress=quiet)
    assert caught.value.party == "lab"


@pytest.mark.parametrize("kind", [Join, LateJoin, Decline, Closing, Invitation])
@pytest.mark.parametrize("item", [b"0", b"{}"])
def test_a_long_document_costs_little(kind, item):
    """A list of wrong entries does not become a list of errors, each of them larger than its entry."""
    listed = b"[" + b",".join([item] * (LONGEST_DOCUMENT // (len(item) + 1))) + b"]"
    fields = sorted(kind.model_fields)
    body = b"{" + b",".join(b'"%s":%s' % (name.encode(), listed) for name in fields[:1]) + b"}"
    assert outcome(lambda: kind.from_document(parse(body, 2 * LONGEST_DOCUMENT))) == "TMB-MANIFEST-001 None"
    for name in fields:
        document = {name: parse(listed, 2 * LONGEST_DOCUMENT)}
        assert outcome(lambda document=document: kind.from_document(document)) == "TMB-MANIFEST-001 None"
