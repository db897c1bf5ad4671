"""One of five members sends nonsense to a settlement: the other four settle as if it were silent, and their records name it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.bounds import outcome
from tests.federation import FOREVER, Federation, party_keys, quiet
from tests.fl_tasks.ledger.audit.settled import source
from tests.fl_tasks.ledger.settlement.test_settle import HURRY, SEVERAL, blocks, joined
from tombolo.fl_tasks.ledger.audit.history import histories
from tombolo.fl_tasks.ledger.settlement.messages import SETTLEMENT
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.workflow.settle import settle
from tombolo.storage.canonical import canonical, digest, parse
from tombolo.storage.errors import CodedError
from tombolo.storage.ledger.block import DOMAIN, ForgedBlock, build, document, longest_block, read_attestation, verify_block
from tombolo.storage.ledger.signed import LONGEST_STATEMENT, BadStatement, Signed
from tombolo.storage.ledger.voting import DOMAIN as VOTES
from tombolo.storage.ledger.voting import Ballot
from tombolo.storage.stores.base import MOST_KEYS, StoreUnreachable
from tombolo.storage.stores.local import LocalStore

LIAR = "farm"
HONEST = [party for party in SEVERAL if party != LIAR]
Columns = dict[str, Any]

LIES: dict[str, tuple[str, Callable[[Columns], Columns]]] = {
    "a size beyond 2^53": ("pair_book", lambda given: {**given, "size": [1 << 60, *given["size"][1:]]}),
    "a negative size": ("pair_book", lambda given: {**given, "size": [-1, *given["size"][1:]]}),
    "a book about others": ("pair_book", lambda given: {**given, "sender": ["lab"] * len(given["sender"])}),
    "one artifact twice": ("pair_book", lambda given: {name: [*values, values[0]] for name, values in given.items()}),
    "a long address": ("pair_book", lambda given: {**given, "address": ["x" * 5000, *given["address"][1:]]}),
    "a short salt": ("pair_salt", lambda given: {"salt": b"x"}),
    "no salt": ("pair_salt", lambda given: {"salt": []}),
    "an attestation that is no document": ("attestation", lambda given: {**given, "document": b"\x00nonsense"}),
    "an attestation nobody signed": ("attestation", lambda given: {**given, "signature": b"x" * 64}),
    "an attestation of numbers that nobody can write": (
        "attestation",
        lambda given: {**given, "document": given["document"].replace(b'"height":1', b'"height":1' + b"0" * 400)},
    ),
    "no attestation": ("attestation", lambda given: {"document": [], "signature": []}),
    "votes that are none": ("prevote", lambda given: {**given, "document": [b"{}"] * len(given["document"])}),
    "a vote of a stranger": ("prevote", lambda given: {**given, "party": ["stranger"] * len(given["party"])}),
    "hundreds of votes": ("prevote", lambda given: {name: values * 30 for name, values in given.items()}),
    "a book of a hundred thousand lines": (
        "pair_book",
        lambda given: {name: [value] * 100_000 for name, (value, *_) in given.items()},
    ),
    "a final block of zeros": ("voted_block", lambda given: {"document": b"[" + b"0," * (4 << 20) + b"0]"}),
    "a block that is no object": ("voted_block", lambda given: {"document": b"[]"}),
    "a height beyond all heights": (
        "attestation",
        lambda given: {**given, "document": given["document"].replace(b'"height":1', b'"height":1000000000')},
    ),
    "an unknown kind": ("precommit", lambda given: {**given, "kind": ["poem"] * len(given["kind"])}),
    "a block that nobody attested": ("voted_block", lambda given: {"document": canonical({"attested": [[], {}], "height": []})}),
}


def settled(fed: Federation, run: str, message: str, change: Callable[[Columns], Columns]) -> dict[str, str]:
    """Everybody settles; what the liar sends is changed. Returns how it ended, by party."""
    real, ended = Session.send, {}

    def send(self, name, to=None, /, **columns):
        real(self, name, to, **(change(columns) if self.me == LIAR and name == message else columns))

    def one(party: str) -> None:
        try:
            ended[party] = settle(fed.context(party), run, FOREVER, progress=quiet)["block"]
        except CodedError as error:
            ended[party] = str(error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "send", send)
        fed.run_all(one)
    return ended


@pytest.mark.slow
@pytest.mark.parametrize("lie", LIES)
def test_the_others_settle_and_name_the_liar(tmp_path, lie):
    fed = joined(tmp_path, SEVERAL, **HURRY)
    run = fed.start()
    ended = settled(fed, run, *LIES[lie])
    found = blocks(fed)
    assert len(found) >= len(HONEST) and all(block == found[0] for block in found)
    assert len({ended[party] for party in HONEST}) == 1, ended
    named = [
        party
        for party in HONEST
        for one in histories(source(fed, party))[0][run].of_kind("finding")
        if one["subject"] == LIAR and one["body"]["code"].startswith("TMB-")
    ]
    assert named or lie == "a block that nobody attested", "no record names the liar"
    strangers = {one["subject"] for party in HONEST for one in histories(source(fed, party))[0][run].of_kind("finding")}
    assert strangers <= {LIAR}


@pytest.mark.slow
def test_the_others_settle_while_a_store_cannot_be_reached(tmp_path, monkeypatch):
    fed = joined(tmp_path, SEVERAL, **HURRY)
    run = fed.start()
    real = LocalStore.list

    def unreachable(self, prefix="", most=MOST_KEYS):
        if f"/{LIAR}/" in f"{self.url}/":
            raise StoreUnreachable(self.url)
        return real(self, prefix, most)

    monkeypatch.setattr(LocalStore, "list", unreachable)
    ended = {}

    def one(party: str) -> None:
        try:
            ended[party] = settle(fed.context(party), run, FOREVER, progress=quiet)["block"]
        except CodedError as error:
            ended[party] = str(error)

    fed.run_all(one, HONEST)
    assert len({ended[party] for party in HONEST}) == 1 and len(ended["clinic"]) == 64, ended


def renamed(kept: dict[str, Any], **changed: Any) -> bytes:
    """The final block of another agreement that the same members have: every member has signed it there."""
    keys = {party: party_keys(party).signing for party in SEVERAL}
    members = {party: key.public() for party, key in keys.items()}
    attested = [Signed.from_json(one) for one in kept["attestations"]]
    attested = [Signed.make(one.party, {**one.document, **changed}, keys[one.party], DOMAIN) for one in attested]
    block = build(attested, members)
    assert block is not None
    ballot = Ballot(block["agreement"], 1, members)
    for vote in map(Signed.from_json, kept["certificate"]):
        said = {**vote.document, "agreement": block["agreement"], "block": digest(block)}
        ballot.add(Signed.make(vote.party, said, keys[vote.party], VOTES))
    return canonical(document(block, ballot, attested))


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed", [{"agreement": "other"}, {"agreement": "other", "run": "run-2"}, {"manifest": "ab" * 32}], ids=str
)
def test_a_final_block_of_something_else_is_none(tmp_path, changed):
    """Its votes are good, and it has the same height."""
    elsewhere = joined(tmp_path / "elsewhere", SEVERAL, **HURRY)
    elsewhere.start()
    elsewhere.run_all(lambda party: settle(elsewhere.context(party), "run-1", FOREVER, progress=quiet))
    foreign = renamed(elsewhere.context(LIAR).blocks.get(1), **changed)
    fed = joined(tmp_path / "here", SEVERAL, **HURRY)
    fed.start()
    with fed.context(LIAR).session("run-1", SETTLEMENT, "settle", FOREVER, quiet, settling=True) as session:
        session.send("final_block", document=foreign)
    ended = settled(fed, "run-1", "final_block", lambda given: given)
    assert len({ended[party] for party in HONEST}) == 1 and len(ended["clinic"]) == 64, ended
    assert all(block["manifest"] == fed.context("clinic").manifest("run-1").digest for block in blocks(fed))


def test_with_three_members_the_liar_is_named_at_once(tmp_path):
    fed = joined(tmp_path, {"clinic": "guest", LIAR: "host", "notary": "arbiter"}, **HURRY)
    run = fed.start()
    ended = settled(fed, run, *LIES["a book about others"])
    assert all("TMB-LEDGER-106" in ended[party] and f"party {LIAR}" in ended[party] for party in ("clinic", "notary"))
    assert blocks(fed) == []


LARGEST = {
    "zeros": b"[" + b"0," * (LONGEST_STATEMENT // 2 - 1) + b"0]",
    "empty lists": b"[" + b"[]," * (LONGEST_STATEMENT // 3 - 1) + b"[]]",
    "objects": b'{"pairs":[' + b"{}," * (LONGEST_STATEMENT // 3 - 8) + b"{}]}",
    "a text": b'"' + b"x" * (LONGEST_STATEMENT - 2) + b'"',
}


@pytest.mark.parametrize("what", LARGEST)
def test_the_largest_statements_cost_little(what):
    """As much as a member may sign: a statement, a vote, and a block of five members."""
    key, members = party_keys(LIAR).signing, {party: party_keys(party).signing.public() for party in SEVERAL}
    body = LARGEST[what]
    statement, vote = (Signed(LIAR, body, key.sign(domain, body)) for domain in (DOMAIN, VOTES))
    assert outcome(lambda: read_attestation(statement, members[LIAR])) == f"{BadStatement.code} {LIAR}"
    assert outcome(lambda: Ballot("trial", 1, members).add(vote)) == f"{BadStatement.code} {LIAR}"
    block = b"[" + b",".join([body] * (longest_block(len(members)) // LONGEST_STATEMENT - 1)) + b"]"
    assert outcome(lambda: verify_block(parse(block, longest_block(len(members))), members)) == f"{ForgedBlock.code} None"
