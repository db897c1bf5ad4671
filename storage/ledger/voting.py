"""Votes on a block: final once a quorum has committed to it, whoever is slow, restarts or lies.

N members, of whom at most f = (N - 1) // 3 may lie; a quorum is (N + f) // 2 + 1, and everybody below four members. A view has two
phases, as in Tendermint (Buchman, Kwon, Milosevic 2018) but without a proposer, since the block is a function of attestations
that all pass on. Prevote: what one would sign. Precommit: what a quorum prevoted in this view, which locks the voter on it, or
nothing. A locked voter prevotes for nothing else until a later view's quorum of prevotes for another block shows that its own
cannot have become final. Any two quorums share an honest member, who votes once per view and phase; so two blocks of one height
never both become final.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from tombolo.storage.canonical import canonical, parse
from tombolo.storage.errors import CodedError
from tombolo.storage.identity import SigningKey, VerifyKey
from tombolo.storage.ledger.signed import BadStatement, Signed
from tombolo.storage.private import PrivateArea

DOMAIN = "ledger-vote"
PREVOTE, PRECOMMIT = "prevote", "precommit"
_MOST_VIEWS = 1000


class NotFinal(CodedError):
    code = "TMB-LEDGER-104"
    cause = "The votes at hand do not make the block final."
    remedy = "Take the block from a party that has it with all its votes; a certificate that stays short is forged."


def quorum(members: int) -> int:
    """How many votes make a block final."""
    return members if members < 4 else (members + (members - 1) // 3) // 2 + 1


class Ballot:
    """All votes of one height that a party has seen, its own and those passed on.

    A second, different vote of one member is evidence against it. It counts like the first, for a liar tells each what it likes,
    and what a quorum of votes has shown to one member it must be able to show to all.
    """

    def __init__(self, agreement: str, height: int, members: Mapping[str, VerifyKey]) -> None:
        self.agreement, self.height, self.members = agreement, height, dict(members)
        self.evidence: dict[str, tuple[Signed, Signed]] = {}
        self._votes: dict[tuple[int, str], dict[tuple[str, str | None], Signed]] = {}

    def add(self, vote: Signed) -> None:
        """Take in a vote; raises SignatureRefused or BadStatement on what no member can have meant."""
        key = self.members.get(vote.party)
        if key is None:
            raise BadStatement("A vote of somebody who is no member.", party=vote.party)
        view, phase, block = self._read(vote)
        place = self._votes.setdefault((view, phase), {})
        if (vote.party, block) in place:
            return
        vote.verify(key, DOMAIN)
        other = next((one for (party, _), one in place.items() if party == vote.party), None)
        if other is not None:
            self.evidence.setdefault(vote.party, (other, vote))
        place[(vote.party, block)] = vote

    def _read(self, vote: Signed) -> tuple[int, str, str | None]:
        found = vote.document
        if set(found) != {"agreement", "height", "view", "phase", "block", "party"}:
            raise BadStatement("A vote lacks a field or has a foreign one.", party=vote.party)
        place = (found["agreement"], found["height"], found["party"])
        if place != (self.agreement, self.height, vote.party) or found["phase"] not in (PREVOTE, PRECOMMIT):
            raise BadStatement("A vote is about something else.", party=vote.party)
        view, block = found["view"], found["block"]
        if not isinstance(view, int) or isinstance(view, bool) or not 0 <= view < _MOST_VIEWS:
            raise BadStatement("A vote is of no view.", party=vote.party)
        if block is not None and (not isinstance(block, str) or len(block) != 64):
            raise BadStatement("A vote is for no block.", party=vote.party)
        return view, found["phase"], block

    def voters(self, view: int, phase: str) -> set[str]:
        """Who has voted there."""
        return {party for party, _ in self._votes.get((view, phase), {})}

    def votes(self, view: int, phase: str, block: str | None = None) -> list[Signed]:
        """All votes there, or those for one block, by party."""
        found = self._votes.get((view, phase), {})
        return [found[one] for one in sorted(found, key=str) if block is None or one[1] == block]

    def chosen(self, view: int, phase: str) -> str | None:
        """The block that has a quorum there."""
        counted = Counter(block for _, block in self._votes.get((view, phase), {}))
        enough = [block for block, count in counted.items() if block is not None and count >= quorum(len(self.members))]
        return enough[0] if enough else None

    def grounds(self, view: int, phase: str) -> list[Signed]:
        """The votes that a vote there rests on: those of the phase before, and the last quorum of prevotes of an earlier view."""
        before = self.votes(view, PREVOTE) if phase == PRECOMMIT else self.votes(view - 1, PRECOMMIT)
        valid = self.latest(PREVOTE, view)
        return before if valid is None else [*before, *self.votes(valid[0], PREVOTE, valid[1])]

    def latest(self, phase: str, below: int = _MOST_VIEWS) -> tuple[int, str] | None:
        """The last view below ``below`` in which a block had a quorum, and that block."""
        views = sorted({view for view, which in self._votes if which == phase and view < below}, reverse=True)
        return next(((view, block) for view in views if (block := self.chosen(view, phase)) is not None), None)

    def final(self, phase: str = PRECOMMIT) -> str | None:
        """The block that is final, by its hash."""
        found = self.latest(phase)
        return found[1] if found else None

    def certificate(self) -> list[Signed]:
        """The precommits that make the block final."""
        found = self.latest(PRECOMMIT)
        if found is None:
            raise NotFinal(f"Height {self.height}.")
        return self.votes(found[0], PRECOMMIT, found[1])


class Voter:
    """One member's conduct at one height, where the members of ``present`` are waited for.

    A vote is kept in ``area`` (create-only) before anybody hears of it, so that neither a crash nor a second process can make this
    member vote twice; begun anew, it goes through what it kept.
    """

    def __init__(
        self, me: str, ballot: Ballot, signing: SigningKey, area: PrivateArea, present: Collection[str] | None = None
    ) -> None:
        self.me, self.ballot = me, ballot
        self._present = frozenset(ballot.members if present is None else present)
        self._signing, self._area = signing, area
        self.view, self.phase = 0, PREVOTE
        self._locked: tuple[int, str] | None = None

    def advance(self, candidate: str | None, patient: bool = True) -> Signed | None:
        """The next vote to send, or None while others are waited for.

        ``candidate`` is the hash of the block that the attestations at hand make, None while they make none. ``patient`` is False
        when this phase has been waited for long enough: then a quorum of voters suffices to go on.
        """
        while self.ballot.final() is None:
            if self.me not in self.ballot.voters(self.view, self.phase):
                block = self._prevote(candidate) if self.phase == PREVOTE else self.ballot.chosen(self.view, PREVOTE)
                if self.phase == PREVOTE and block is None and patient and self._area.get(self._name()) is None:
                    return None
                return self._cast(block)
            voters, enough = self.ballot.voters(self.view, self.phase), quorum(len(self.ballot.members))
            everybody = len(voters) >= enough and (voters >= self._present or not patient)
            if self.phase == PREVOTE and (everybody or self.ballot.chosen(self.view, PREVOTE) is not None):
                self.phase = PRECOMMIT
            elif self.phase == PRECOMMIT and everybody:
                self.view, self.phase = self.view + 1, PREVOTE
            else:
                return None
            patient = True
        return None

    def _prevote(self, candidate: str | None) -> str | None:
        """What a later quorum of prevotes chose; else what this member is locked on; else its candidate."""
        valid = self.ballot.latest(PREVOTE, self.view)
        if valid is not None and (self._locked is None or valid[0] >= self._locked[0]):
            return valid[1]
        return self._locked[1] if self._locked else candidate

    def _cast(self, block: str | None) -> Signed:
        meant = {
            "agreement": self.ballot.agreement,
            "height": self.ballot.height,
            "view": self.view,
            "phase": self.phase,
            "block": block,
            "party": self.me,
        }
        fresh = Signed.make(self.me, meant, self._signing, DOMAIN)
        vote = Signed.from_json(parse(self._area.keep(self._name(), canonical(fresh.to_json()))))
        self.ballot.add(vote)
        if self.phase == PRECOMMIT and vote.document["block"] is not None:
            self._locked = (self.view, vote.document["block"])
        return vote

    def _name(self) -> str:
        return f"{self.ballot.height:09d}/{self.view:04d}-{self.phase}"
