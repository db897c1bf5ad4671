"""Members that vote in any order, crash and lose patience, beside liars that say anything to anybody: a state machine."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.storage.ledger.test_voting import A, B, World, forged, names
from tombolo.storage.canonical import canonical
from tombolo.storage.ledger.signed import BadStatement, Signed
from tombolo.storage.ledger.voting import PRECOMMIT, PREVOTE

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2**53 - 1)
    | st.text(max_size=70)
    | st.sampled_from([A, B, PREVOTE, "trial", 1, "m0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ("agreement", "height", "view", "phase", "block", "party")


class Voting(RuleBasedStateMachine):
    @initialize(size=st.sampled_from([(3, 0), (4, 1), (5, 1), (7, 2)]), data=st.data())
    def begin(self, size: tuple[int, int], data: Any) -> None:
        count, lying = size
        everybody = names(count)
        self.honest, self.liars = everybody[lying:], tuple(everybody[:lying])
        candidates = [A, B, None] if lying else [A, None]
        self.world = World({member: data.draw(st.sampled_from(candidates)) for member in self.honest}, self.liars)

    def of(self, data: Any) -> str:
        return data.draw(st.sampled_from(self.honest))

    @rule(data=st.data(), patient=st.booleans())
    def goes_on(self, data: Any, patient: bool) -> None:
        self.world.step(self.of(data), patient)

    @rule(data=st.data())
    def hears_an_honest_member(self, data: Any) -> None:
        if self.world.sent:
            self.world.hear(self.of(data), data.draw(st.sampled_from(self.world.sent)))

    @precondition(lambda self: self.liars)
    @rule(
        data=st.data(),
        view=st.integers(0, 4),
        phase=st.sampled_from([PREVOTE, PRECOMMIT]),
        block=st.sampled_from([A, B, None, "c" * 64]),
    )
    def hears_a_lie(self, data: Any, view: int, phase: str, block: str | None) -> None:
        self.world.hear(self.of(data), forged(data.draw(st.sampled_from(self.liars)), view, phase, block))

    @precondition(lambda self: self.liars)
    @rule(data=st.data(), said=st.dictionaries(st.sampled_from(FIELDS), ANYTHING))
    def hears_nonsense(self, data: Any, said: dict[str, Any]) -> None:
        """Whatever the fields of a vote hold, it is a vote of the liar, or refused."""
        liar, member = data.draw(st.sampled_from(self.liars)), self.of(data)
        document = {**forged(liar, 0, PREVOTE, A).document, **said}
        with contextlib.suppress(BadStatement):
            self.world.hear(member, Signed(liar, canonical(document), b"signed"))

    @precondition(lambda self: self.liars)
    @rule(data=st.data(), body=st.binary(max_size=60) | ANYTHING.map(canonical))
    def hears_no_vote_at_all(self, data: Any, body: bytes) -> None:
        with pytest.raises(BadStatement):
            self.world.hear(self.of(data), Signed(data.draw(st.sampled_from(self.liars)), body, b"signed"))

    @rule(data=st.data())
    def is_killed(self, data: Any) -> None:
        self.world.restart(self.of(data))

    @invariant()
    def one_block_at_most(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        """In time everybody has heard all attestations, and has the same candidate: then a block becomes final."""
        if hasattr(self, "world"):
            self.world.candidates = dict.fromkeys(self.honest, A)
            self.world.settle()
            self.world.check()
            assert self.world.finals()


TestVoting = Voting.TestCase
TestVoting.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
