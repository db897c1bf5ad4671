"""Votes: whatever the order, whoever crashes or lies, no two blocks become final; and with patience one does."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tombolo.storage.identity import PartyKeys, SignatureRefused
from tombolo.storage.ledger.signed import BadStatement, Signed
from tombolo.storage.ledger.voting import DOMAIN, PRECOMMIT, PREVOTE, Ballot, NotFinal, Voter, quorum
from tombolo.storage.private import PrivateArea
from tombolo.storage.stores.memory import MemoryStore

A, B = "a" * 64, "b" * 64


class Model:
    """Stands for both halves of a key: the model is about orders and crashes, the signatures have tests of their own."""

    def sign(self, domain: str, data: bytes) -> bytes:
        return b"signed"

    def verify(self, signature: bytes, domain: str, data: bytes) -> None:
        assert signature == b"signed" and domain == DOMAIN


class Kept(dict):
    """Stands for a private area: what was kept first stays."""

    def keep(self, name: str, data: bytes) -> bytes:
        return self.setdefault(name, data)


MODEL = Model()


def forged(party: str, view: int, phase: str, block: str | None) -> Signed:
    meant = {"agreement": "trial", "height": 1, "view": view, "phase": phase, "block": block, "party": party}
    return Signed.make(party, meant, MODEL, DOMAIN)


@dataclass
class World:
    """Honest members with their candidates, what each has sent, and what each liar may say to whom."""

    candidates: dict[str, str | None]
    liars: tuple[str, ...] = ()
    sent: list[Signed] = field(default_factory=list)
    grounds: dict[bytes, list[Signed]] = field(default_factory=dict)
    voters: dict[str, Voter] = field(default_factory=dict)
    areas: dict[str, Kept] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.areas = {member: Kept() for member in self.candidates}
        for member in self.candidates:
            self.restart(member)

    def restart(self, member: str) -> None:
        """As after kill -9: only what was kept is still known."""
        ballot = Ballot("trial", 1, dict.fromkeys((*self.candidates, *self.liars), MODEL))
        self.voters[member] = Voter(member, ballot, MODEL, self.areas[member])

    def step(self, member: str, patient: bool) -> bool:
        vote = self.voters[member].advance(self.candidates[member], patient)
        if vote is not None and all(one.body != vote.body for one in self.sent):
            self.sent.append(vote)
            self.grounds[vote.body] = self.voters[member].ballot.grounds(vote.document["view"], vote.document["phase"])
        return vote is not None

    def hear(self, member: str, vote: Signed) -> None:
        """A vote comes with the votes that it rests on."""
        for one in (vote, *self.grounds.get(vote.body, ())):
            self.voters[member].ballot.add(one)

    def finals(self) -> set[str]:
        return {final for voter in self.voters.values() if (final := voter.ballot.final()) is not None}

    def check(self) -> None:
        """At most one block, and no honest member ever voted twice at one place."""
        assert len(self.finals()) <= 1
        places = [(vote.party, vote.document["view"], vote.document["phase"]) for vote in self.sent]
        assert len(set(places)) == len(places)

    def settle(self) -> None:
        """Everything arrives and patience ends, over and over: then a block must become final at every honest member."""
        for _ in range(60):
            for member in self.candidates:
                for vote in list(self.sent):
                    self.hear(member, vote)
                while self.step(member, patient=True):
                    pass
            if all(voter.ballot.final() for voter in self.voters.values()):
                return
            for member in self.candidates:
                self.step(member, patient=False)


@pytest.mark.parametrize("members", range(1, 14))
def test_two_quorums_share_an_honest_member(members):
    liars = (members - 1) // 3 if members >= 4 else 0
    assert 2 * quorum(members) - members > liars
    assert quorum(members) <= members - liars or members < 4
    assert quorum(members) == members or members >= 4


def names(count: int) -> list[str]:
    return [f"m{number}" for number in range(count)]


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_order_any_crash_and_a_liar_never_make_two_blocks_final(data):
    count = data.draw(st.sampled_from([3, 4, 5, 7]))
    lying = data.draw(st.integers(0, (count - 1) // 3)) if count >= 4 else 0
    everybody = names(count)
    honest, liars = everybody[lying:], tuple(everybody[:lying])
    choices = [A, B] if count >= 4 else [A]
    world = World({member: data.draw(st.sampled_from([*choices, None])) for member in honest}, liars)
    draw = random.Random(data.draw(st.integers(0, 1 << 32)))
    for _ in range(data.draw(st.integers(20, 150))):
        member, event = draw.choice(honest), draw.random()
        if event < 0.45 and world.sent:
            world.hear(member, draw.choice(world.sent))
        elif event < 0.6 and liars:
            vote = forged(draw.choice(liars), draw.randrange(3), draw.choice([PREVOTE, PRECOMMIT]), draw.choice([A, B, None]))
            world.hear(member, vote)
        elif event < 0.65:
            world.restart(member)
        else:
            world.step(member, patient=draw.random() < 0.7)
        world.check()
    for member in honest:  # in time everybody hears all attestations, so that all have the same candidate
        world.candidates[member] = A
    world.settle()
    world.check()
    assert world.finals(), "with everything heard and no patience left, one block becomes final"


@pytest.mark.parametrize("candidates", [(A, A, A), (A, A, B)])
def test_every_order_of_the_first_view_with_a_member_that_shows_two_faces(candidates):
    """Exhaustive over what each of three honest members of four hears before it precommits, a liar telling each what it likes."""
    honest = names(4)[1:]
    finals = set()
    for lies in product([A, B, None], repeat=3):
        for heard in product(*(subsets(tuple(one for one in honest if one != member)) for member in honest)):
            world = World(dict(zip(honest, candidates, strict=True)), ("m0",))
            for member in honest:
                world.step(member, patient=True)
            prevotes = {vote.party: vote for vote in world.sent}
            for member, others, lie in zip(honest, heard, lies, strict=True):
                world.hear(member, forged("m0", 0, PREVOTE, lie))
                for other in others:
                    world.hear(member, prevotes[other])
                world.step(member, patient=False)
            precommits = [vote for vote in world.sent if vote.document["phase"] == PRECOMMIT]
            assert len({vote.document["block"] for vote in precommits} - {None}) <= 1, "two locks in one view"
            for member, lie in zip(honest, lies, strict=True):
                world.hear(member, forged("m0", 0, PRECOMMIT, lie))
                for vote in precommits:
                    world.hear(member, vote)
            world.check()
            finals |= world.finals()
    assert finals <= {A, B}
    if len(set(candidates)) == 1:
        assert finals == {candidates[0]}


@cache
def subsets(items: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(chosen for size in range(len(items) + 1) for chosen in combinations(items, size))


def test_a_lock_outlives_a_crash():
    world = World(dict.fromkeys(names(4), A))
    for member in names(4):
        world.step(member, patient=True)
    for vote in list(world.sent):
        world.hear("m0", vote)
    assert world.step("m0", patient=True)  # precommits and is locked
    world.restart("m0")
    world.candidates["m0"] = B
    for member in names(4)[1:]:
        world.hear("m0", forged(member, 0, PREVOTE, A))
        world.hear("m0", forged(member, 0, PRECOMMIT, None))
    while world.step("m0", patient=True):
        pass
    later = [vote.document for vote in world.sent if vote.party == "m0" and vote.document["view"] == 1]
    assert [vote["block"] for vote in later] == [A]


def test_unanimity_below_four_waits_for_everybody():
    world = World({"m0": A, "m1": A}, ("m2",))
    for _ in range(5):
        for member in ("m0", "m1"):
            world.step(member, patient=False)
            for vote in world.sent:
                world.hear(member, vote)
    assert not world.finals()
    assert {vote.document["view"] for vote in world.sent} == {0}
    for phase in (PREVOTE, PRECOMMIT):
        world.hear("m0", forged("m2", 0, phase, A))
        world.hear("m1", forged("m2", 0, phase, A))
        for member in ("m0", "m1"):
            world.step(member, patient=True)
            for vote in world.sent:
                world.hear(member, vote)
    assert world.finals() == {A}


def test_a_second_different_vote_is_evidence():
    ballot = Ballot("trial", 1, dict.fromkeys(names(3), MODEL))
    first, second = forged("m0", 0, PREVOTE, A), forged("m0", 0, PREVOTE, B)
    ballot.add(first)
    ballot.add(second)
    assert ballot.evidence == {"m0": (first, second)}
    assert ballot.voters(0, PREVOTE) == {"m0"}
    with pytest.raises(NotFinal):
        ballot.certificate()


@pytest.mark.parametrize(
    "change",
    [
        {"agreement": "other"},
        {"height": 2},
        {"phase": "postvote"},
        {"view": -1},
        {"view": True},
        {"view": 10**6},
        {"block": "short"},
        {"block": 7},
        {"more": 1},
        {"party": "m1"},
    ],
)
def test_votes_about_something_else_are_refused(change):
    ballot = Ballot("trial", 1, dict.fromkeys(names(3), MODEL))
    meant = {"agreement": "trial", "height": 1, "view": 0, "phase": PREVOTE, "block": A, "party": "m0", **change}
    with pytest.raises(BadStatement):
        ballot.add(Signed.make("m0", meant, MODEL, DOMAIN))
    with pytest.raises(BadStatement):
        ballot.add(forged("stranger", 0, PREVOTE, A))


def test_real_signatures_are_checked():
    keys = PartyKeys.new("m0")
    ballot = Ballot("trial", 1, {"m0": keys.signing.public()})
    good = Voter("m0", ballot, keys.signing, PrivateArea(MemoryStore(), keys.vault)).advance(A)
    fresh = Ballot("trial", 1, {"m0": keys.signing.public()})
    fresh.add(good)
    with pytest.raises(SignatureRefused):
        Ballot("trial", 1, {"m0": keys.signing.public()}).add(Signed("m0", good.body.replace(b"aaa", b"aab"), good.signature))
