"""A block: the same from the same attestations in any order, and nothing else passes for it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tombolo.storage.canonical import canonical, digest, parse
from tombolo.storage.identity import PartyKeys, SignatureRefused
from tombolo.storage.ledger.block import (
    DOMAIN,
    FactsDiffer,
    ForgedBlock,
    build,
    document,
    made_from,
    read_attestation,
    verify_block,
)
from tombolo.storage.ledger.signed import BadStatement, Signed
from tombolo.storage.ledger.voting import Ballot, NotFinal, Voter
from tombolo.storage.private import PrivateArea
from tombolo.storage.stores.memory import MemoryStore

KEYS = {name: PartyKeys.new(name) for name in ("ann", "ben", "cy", "dee", "eve")}
HASH = "0" * 64


def members(count: int):
    return {name: keys.signing.public() for name, keys in list(KEYS.items())[:count]}


def pair(one: str, other: str, artifacts: int = 3) -> dict:
    return {"parties": sorted((one, other)), "artifacts": artifacts, "bytes": 9, "root": HASH, "unmatched": 0}


def attested(party: str, count: int, artifacts: int = 3, **changes) -> Signed:
    said = {
        "agreement": "trial",
        "agreement_digest": HASH,
        "height": 1,
        "previous": HASH,
        "run": "r1",
        "kind": "train",
        "manifest": HASH,
        "facts": {"metrics": {"auc": 0.75}},
        "party": party,
        "record": {"index": 0, "digest": HASH},
        "pairs": sorted(
            (pair(party, other, artifacts) for other in members(count) if other != party), key=lambda one: one["parties"]
        ),
        **changes,
    }
    return Signed.make(party, said, KEYS[party].signing, DOMAIN)


def everybody(count: int) -> list[Signed]:
    return [attested(party, count) for party in members(count)]


def final(count: int, statements: list[Signed]) -> dict:
    block = build(statements, members(count))
    ballot, voters = Ballot("trial", 1, members(count)), {}
    for party in members(count):
        area = PrivateArea(MemoryStore(), KEYS[party].vault)
        voters[party] = Voter(party, Ballot("trial", 1, members(count)), KEYS[party].signing, area)
    for _ in range(2):
        votes = [voter.advance(digest(block)) for voter in voters.values()]
        for vote in votes:
            ballot.add(vote)
            for voter in voters.values():
                voter.ballot.add(vote)
    return parse(canonical(document(block, ballot, made_from(block, statements, members(count)))))


@given(st.permutations(range(5)))
@settings(max_examples=20, deadline=None)
def test_the_order_of_attestations_does_not_matter(order):
    statements = FIVE
    assert build([statements[at] for at in order], members(5)) == build(statements, members(5))


FIVE = everybody(5)


def test_a_quorum_is_needed():
    assert build(FIVE[:3], members(5)) is None
    block = build(FIVE[:4], members(5))
    assert block["attested"] == ["ann", "ben", "cy", "dee"]
    disputed = [one["parties"] for one in block["pairs"] if "root" not in one]
    assert disputed == [], "pairs with the absent party are not in the block at all"
    assert build(everybody(3)[:2], members(3)) is None


def test_a_pair_whose_sides_differ_is_named_without_a_summary():
    block = build([attested("ann", 3, artifacts=4), *everybody(3)[1:]], members(3))
    assert [one["parties"] for one in block["pairs"] if one.get("disputed")] == [["ann", "ben"], ["ann", "cy"]]


def test_facts_must_be_alike():
    odd = attested("ann", 3, facts={"metrics": {"auc": 0.9}})
    with pytest.raises(FactsDiffer) as caught:
        build([odd, *everybody(3)[1:]], members(3))
    assert caught.value.party == "ann"
    block = build([attested("ann", 5, facts={}), *FIVE[1:]], members(5))
    assert "ann" not in block["attested"] and block["facts"] == {"metrics": {"auc": 0.75}}


def test_who_attests_twice_counts_as_absent():
    assert build([attested("ann", 3, artifacts=4), *everybody(3)], members(3)) is None
    twice = [attested("ann", 5, artifacts=4), *FIVE]
    assert build(twice, members(5))["attested"] == ["ben", "cy", "dee", "eve"]


def test_a_block_of_either_face_is_recognised():
    before = build(FIVE, members(5))
    assert made_from(before, [attested("ann", 5, artifacts=4), *FIVE], members(5)) == FIVE
    assert made_from({**before, "height": 2}, FIVE, members(5)) is None
    assert made_from({**before, "attested": ["mallory"]}, FIVE, members(5)) is None
    assert made_from({**before, "attested": 7}, FIVE, members(5)) is None


@pytest.mark.parametrize("count", [3, 5])
def test_a_kept_block_verifies_by_itself(count):
    kept = final(count, everybody(count))
    assert verify_block(kept, members(count)) == kept["block"]
    with pytest.raises(NotFinal):
        verify_block({**kept, "certificate": kept["certificate"][:2]}, members(count))
    for changed in ({**kept["block"], "height": 2}, {**kept["block"], "facts": {}}):
        with pytest.raises((NotFinal, BadStatement)):
            verify_block({**kept, "block": changed}, members(count))
    with pytest.raises(ForgedBlock):
        verify_block({**kept, "attestations": kept["attestations"][:-1]}, members(count))
    with pytest.raises(ForgedBlock):
        verify_block({"block": kept["block"]}, members(count))
    others = {name: KEYS["eve" if name == "ann" else name].signing.public() for name in members(count)}
    with pytest.raises(SignatureRefused):
        verify_block(kept, others)


@pytest.mark.parametrize(
    "changes",
    [
        {"agreement": 7},
        {"height": 0},
        {"more": 1},
        {"pairs": [pair("ben", "cy")]},
        {"pairs": [pair("ann", "ben"), pair("ann", "ben")]},
        {"pairs": [{**pair("ann", "ben"), "artifacts": -1}]},
        {"pairs": [{**pair("ann", "ben"), "parties": ["ben", "ann"]}]},
        {"previous": "short"},
    ],
)
def test_odd_attestations_are_refused(changes):
    with pytest.raises(BadStatement):
        read_attestation(attested("ann", 3, **changes), members(3)["ann"])


@pytest.mark.parametrize(
    "found", [None, {}, {"party": "ann", "body": 7, "signature": ""}, {"party": "a", "body": "", "signature": "?"}]
)
def test_statements_that_are_none_are_refused(found):
    with pytest.raises(BadStatement):
        Signed.from_json(found)


# -- the odometers ---------------------------------------------------------------------------------------------------------------

HEAD = {"index": 2, "digest": HASH}


def reading(recipient: str = "ben", meter: str = "progress", amount: float = 5) -> dict:
    return {"recipient": recipient, "population": "tag", "meter": meter, "amount": amount}


def test_statements_without_an_odometer_make_the_block_that_they_always_made():
    block = build(everybody(3), members(3))
    assert "odometers" not in block and set(attested("ann", 3).document) == set(read(attested("ann", 3)).model_dump()) - {
        "odometer",
        "readings",
    }
    assert digest(block) == "6721903126ed3f532f69ea720653d86b5d99178637fee1c0f343b4a01b95e649"


def read(signed: Signed):
    return read_attestation(signed, members(5)[signed.party])


def test_a_block_has_the_readings_of_those_who_state_them():
    said = {"odometer": HEAD, "readings": [reading(amount=5), reading(meter="rows", amount=0.5)]}
    statements = [attested("ann", 3, **said), *everybody(3)[1:]]
    block = build(statements, members(3))
    assert block["odometers"] == {"ann": said}
    assert verify_block(final(3, statements), members(3)) == block
    kept = final(3, statements)
    kept["block"]["odometers"]["ann"]["readings"][0]["amount"] = 4
    with pytest.raises((ForgedBlock, NotFinal)):
        verify_block(kept, members(3))


@pytest.mark.parametrize(
    "said",
    [
        {"odometer": None, "readings": [reading()]},
        {"odometer": HEAD, "readings": [reading(), reading()]},
        {"odometer": HEAD, "readings": [reading("cy"), reading("ben")]},
        {"odometer": HEAD, "readings": [reading(amount=-1)]},
        {"odometer": HEAD, "readings": [{**reading(), "more": 1}]},
        {"odometer": HEAD, "readings": [reading(meter=f"{number:05d}") for number in range(1001)]},
        {"odometer": {**HEAD, "index": -1}},
    ],
)
def test_readings_that_are_refused(said):
    with pytest.raises(BadStatement):
        read(attested("ann", 3, **said))
