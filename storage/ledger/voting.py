"""Votes on a block. A block is final when a quorum has voted for it, even if some members are slow, restart or lie.

There are N members; at most f = (N - 1) // 3 of them may lie. A quorum is (N + f) // 2 + 1 members, and all members if there are
fewer than four. A view has two phases, as in Tendermint (Buchman, Kwon, Milosevic 2018). There is no proposer, because the block
is computed from attestations that all members pass on.

- Prevote: a member votes for the block that it would sign.
- Precommit: a member votes for the block with a quorum of prevotes in this view, or for nothing. A vote for a block locks the
  member on that block.

A locked member prevotes only for its block, until a later view has a quorum of prevotes for another block. This quorum shows that
the member's block cannot be final. Any two quorums share an honest member, which votes once per view and phase. So two blocks of
one height never both become final.
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
    cause = "A block does not have enough votes to be final."
    remedy = "Ask another party for its copy of the block with all votes. If its votes are too few as well, the block is forged."


def quorum(members: int) -> int:
    """The number of votes that make a block final."""
    return members if members < 4 else (members + (members - 1) // 3) // 2 + 1


class Ballot:
    """All votes for one height that a party knows: its own votes, and those that it received.

    A second, different vote of a member is evidence against that member. Both votes count, because a lying member may
    send different votes to different members, and a quorum that one member sees must also count for all others.
    """

    def __init__(self, agreement: str, height: int, members: Mapping[str, VerifyKey]) -> None:
        self.agreement, self.height, self.members = agreement, height, dict(members)
        self.evidence: dict[str, tuple[Signed, Signed]] = {}
        self._votes: dict[tuple[int, str], dict[tuple[str, str | None], Signed]] = {}

    def add(self, vote: Signed) -> None:
        """Add a vote. Raises SignatureRefused or BadStatement if it is not a valid vote of a member."""
        key = self.members.get(vote.party)
        if key is None:
            raise BadStatement("A vote comes from a party that is not a member.", party=vote.party)
        view, phase, block = self._read(vote)
        place = self._votes.setdefault((view, phase), {})
        if (vote.party, block) in place:
            return
        vote.verify(key, DOMAIN)
        other = next((earlier for (party, _), earlier in place.items() if party == vote.party), None)
        if other is not None:
            self.evidence.setdefault(vote.party, (other, vote))
        place[(vote.party, block)] = vote

    def _read(self, vote: Signed) -> tuple[int, str, str | None]:
        content = vote.document
        if set(content) != {"agreement", "height", "view", "phase", "block", "party"}:
            raise BadStatement("A field of a vote is missing or unknown.", party=vote.party)
        place = (content["agreement"], content["height"], content["party"])
        if place != (self.agreement, self.height, vote.party) or content["phase"] not in (PREVOTE, PRECOMMIT):
            raise BadStatement("A vote has another agreement, height or party, or an unknown phase.", party=vote.party)
        view, block = content["view"], content["block"]
        if not isinstance(view, int) or isinstance(view, bool) or not 0 <= view < _MOST_VIEWS:
            raise BadStatement("The view of a vote is not valid.", party=vote.party)
        if block is not None and (not isinstance(block, str) or len(block) != 64):
            raise BadStatement("The block of a vote is not a hash.", party=vote.party)
        return view, content["phase"], block

    def voters(self, view: int, phase: str) -> set[str]:
        """The members that have voted in this view and phase."""
        return {party for party, _ in self._votes.get((view, phase), {})}

    def votes(self, view: int, phase: str, block: str | None = None) -> list[Signed]:
        """All votes of this view and phase, or only those for ``block``, sorted by party."""
        votes = self._votes.get((view, phase), {})
        return [votes[place] for place in sorted(votes, key=str) if block is None or place[1] == block]

    def chosen(self, view: int, phase: str) -> str | None:
        """The block that has a quorum in this view and phase; None if there is none."""
        counted = Counter(block for _, block in self._votes.get((view, phase), {}))
        enough = [block for block, count in counted.items() if block is not None and count >= quorum(len(self.members))]
        return enough[0] if enough else None

    def grounds(self, view: int, phase: str) -> list[Signed]:
        """The votes that justify a vote here: those of the phase before, and the last quorum of prevotes of earlier views."""
        before = self._one_each(view, PREVOTE) if phase == PRECOMMIT else self._one_each(view - 1, PRECOMMIT)
        valid = self.latest(PREVOTE, view)
        return before if valid is None else [*before, *self.votes(valid[0], PREVOTE, valid[1])]

    def _one_each(self, view: int, phase: str) -> list[Signed]:
        """One vote of every member, for the block with the most votes if it has one: a liar's other votes are not passed on."""
        votes = self._votes.get((view, phase), {})
        most = next((block for block, _ in Counter(block for _, block in votes).most_common(1)), None)
        return list({vote.party: vote for (_, block), vote in sorted(votes.items(), key=lambda one: one[0][1] == most)}.values())

    def latest(self, phase: str, below: int = _MOST_VIEWS) -> tuple[int, str] | None:
        """The last view before ``below`` in which a block has a quorum, and that block; None if there is none."""
        views = sorted({view for view, which in self._votes if which == phase and view < below}, reverse=True)
        return next(((view, block) for view in views if (block := self.chosen(view, phase)) is not None), None)

    def final(self, phase: str = PRECOMMIT) -> str | None:
        """The hash of the final block; None if none is final."""
        latest = self.latest(phase)
        return latest[1] if latest else None

    def certificate(self) -> list[Signed]:
        """The precommits that make the block final. Raises :class:`NotFinal`."""
        latest = self.latest(PRECOMMIT)
        if latest is None:
            raise NotFinal(f"Height {self.height}.")
        view, block = latest
        return self.votes(view, PRECOMMIT, block)


class Voter:
    """The votes of one member at one height. It waits for the votes of the members ``present``.

    A vote is stored in ``area``, which never overwrites, before it is sent. So neither a crash nor a second process can make this
    member vote twice. After a restart the member repeats its stored votes.
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
        """The next vote to send; None while this member must wait for other votes.

        ``candidate`` is the hash of the block of the known attestations; None if they do not make a block yet. ``patient`` is False
        when the wait in this phase was long enough; then a quorum of voters is enough to go on.
        """
        while self.ballot.final() is None:
            if self.me not in self.ballot.voters(self.view, self.phase):
                block = self._prevote(candidate) if self.phase == PREVOTE else self.ballot.chosen(self.view, PREVOTE)
                if self.phase == PREVOTE and block is None and patient and self._area.get(self._name()) is None:
                    return None
                return self._cast(block)
            voters, enough = self.ballot.voters(self.view, self.phase), quorum(len(self.ballot.members))
            complete = len(voters) >= enough and (voters >= self._present or not patient)
            if self.phase == PREVOTE and (complete or self.ballot.chosen(self.view, PREVOTE) is not None):
                self.phase = PRECOMMIT
            elif self.phase == PRECOMMIT and complete:
                self.view, self.phase = self.view + 1, PREVOTE
            else:
                return None
            patient = True
        return None

    def _prevote(self, candidate: str | None) -> str | None:
        """The block of a later quorum of prevotes; else the block that this member is locked on; else its candidate."""
        valid = self.ballot.latest(PREVOTE, self.view)
        if valid is not None and (self._locked is None or valid[0] >= self._locked[0]):
            return valid[1]
        return self._locked[1] if self._locked else candidate

    def _cast(self, block: str | None) -> Signed:
        content = {
            "agreement": self.ballot.agreement,
            "height": self.ballot.height,
            "view": self.view,
            "phase": self.phase,
            "block": block,
            "party": self.me,
        }
        fresh = Signed.make(self.me, content, self._signing, DOMAIN)
        vote = Signed.from_json(parse(self._area.keep(self._name(), canonical(fresh.to_json()))))
        self.ballot.add(vote)
        if self.phase == PRECOMMIT and vote.document["block"] is not None:
            self._locked = (self.view, vote.document["block"])
        return vote

    def _name(self) -> str:
        return f"{self.ballot.height:09d}/{self.view:04d}-{self.phase}"
