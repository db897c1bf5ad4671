"""What one party does to settle a run: attest, vote, and end with the block that a quorum has signed."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyarrow as pa

from tombolo.agreements.manifest import RUN_ID
from tombolo.fl_tasks.ledger.settlement.state import ATTESTATION, EVIDENCE
from tombolo.fl_tasks.runtime.session import Session, log
from tombolo.fl_tasks.runtime.waiting import PeerSilent
from tombolo.storage.canonical import canonical, digest, parse
from tombolo.storage.errors import CodedError, blame
from tombolo.storage.identity import SigningKey, VerifyKey
from tombolo.storage.ledger.block import DOMAIN, build, document, longest_block, made_from, read_attestation, verify_block
from tombolo.storage.ledger.signed import BadStatement, Signed
from tombolo.storage.ledger.voting import PRECOMMIT, PREVOTE, Ballot, Voter, quorum
from tombolo.storage.private import PrivateArea
from tombolo.storage.roles import INITIATORS

_MOST_VIEWS = 50


class OtherHistory(CodedError):
    code = "TMB-LEDGER-107"
    cause = "The ledger of the party that starts the runs and the ledger of this party differ in the blocks before this one."
    remedy = (
        "Run `tombolo audit verify` at both parties and compare. One of the stores was altered, or restored from an old backup; "
        "restore its missing objects."
    )


class TwoFaced(CodedError):
    code = "TMB-LEDGER-108"
    cause = "A party signed two different statements for one place in the ledger; both are kept as proof."
    remedy = (
        "Run `tombolo audit show` and send the proof to all members. No run can be settled with the named party until this is "
        "explained."
    )


class NoAgreement(CodedError):
    code = "TMB-LEDGER-109"
    cause = "The parties have voted many times, but no block has become final."
    remedy = "Compare the logs of all parties' settle tasks: one party must have sent different statements to different parties."


class EarlierRun(Exception):
    """The block before this one is not final at this party: ``run`` must be settled first."""

    def __init__(self, run: str) -> None:
        super().__init__(run)
        self.run = run


@dataclass(frozen=True)
class Place:
    """A block's place in the ledger: its height, and the run that the block before it closes (none before the first)."""

    height: int
    previous_run: str


@dataclass(frozen=True)
class Seat:
    """What a member needs to vote: its signing key, the keys of all members, and the private area of the agreement's ledger."""

    signing: SigningKey
    members: Mapping[str, VerifyKey]
    area: PrivateArea


def forgiving(members: Collection[str]) -> bool:
    """Whether a quorum of the members may go on without the rest after the deadline. It needs at least four members."""
    return quorum(len(members)) < len(members)


def agree_on_place(session: Session, own: Callable[[], Place]) -> Place:
    """The place of the block: the initiator takes it from ``own`` and sends it; the others receive and check it."""
    if session.role in INITIATORS:
        place = own()
        session.send("height", height=place.height, previous_run=place.previous_run)
        return place
    table = session.receive("height", session.initiator)
    place = Place(session.scalar(table, "height"), session.scalar(table, "previous_run"))
    named = re.fullmatch(RUN_ID, place.previous_run) is not None or place.previous_run == ""
    first = place.previous_run == ""
    if not named or not 0 < place.height < 10**9 or (place.height == 1) != first or place.previous_run == session.run:
        raise OtherHistory("It sent an impossible height or name of the run before.", party=session.initiator)
    return place


def attestation(session: Session, seat: Seat, said: Mapping[str, Any]) -> Signed:
    """This party's signed statement about the run. It is made once; later calls return the same."""
    fresh = Signed.make(session.me, said, seat.signing, DOMAIN)
    return session.state.keep(ATTESTATION, fresh)


class Assembly:
    """How the members of a ledger agree on one block: holds everything received so far, and decides what to do next.

    With fewer than four members, all must attest and vote, however long it takes. With four or more, a quorum goes on without the
    others after the agreement's deadline (``deadlines.settle``). A wrong message then counts as missing; ``refused`` has the error
    code by sender. Nobody waits for members that took no part in the run.
    """

    def __init__(self, session: Session, seat: Seat, place: Place, own: Signed) -> None:
        self._session, self._seat, self._own = session, seat, own
        self._peers = [party for party in session.roles if party != session.me]
        self._ballot = Ballot(session.terms.name, place.height, seat.members)
        self._present = frozenset(session.roles)
        self._voter = Voter(session.me, self._ballot, seat.signing, seat.area, self._present)
        self._attested: dict[tuple[str, str], Signed] = {(own.party, own.digest): own}
        self._blocks: dict[str, dict[str, Any]] = {}
        self._heard: set[tuple[str, str, int]] = set()
        self._final: dict[str, Any] | None = None
        self._read = lru_cache(maxsize=2 * len(seat.members))(read_attestation)  # a member has at most two
        self.refused: dict[str, str] = {}

    def run(self) -> dict[str, Any]:
        """Take part until a block is final; returns the document to keep. Raises Waiting, PeerSilent or an error of a check."""
        self._session.send("attestation", document=self._own.body, signature=self._own.signature)
        while True:
            self._listen()
            vote = self._voter.advance(self._candidate())
            if vote is not None:
                self._send(vote)
            elif (final := self._concluded()) is not None:
                return final
            else:
                self._wait()

    # -- receiving ----------------------------------------------------------------------------------------------------------

    def _listen(self) -> bool:
        """Read all messages that have come. Returns whether there was a new one."""
        before = len(self._heard)
        for peer in self._peers:
            self._hear(peer, "attestation", 0, self._on_attestation)
            self._hear(peer, "final_block", 0, self._on_final)
            for view in range(self._voter.view + 1):
                for phase in (PREVOTE, PRECOMMIT):
                    self._hear(peer, phase, view, self._on_vote, self._most_statements)
                if (peer, PREVOTE, view) in self._heard:  # with the attestations that the block is made from
                    self._hear(peer, "voted_block", view, self._on_block)
        self._refuse_two_faces()
        return len(self._heard) > before

    @property
    def _most_statements(self) -> int:
        """The most rows of a message: a vote, at most two attestations of each member, and the grounds of the vote."""
        return 1 + 4 * len(self._seat.members)

    def _hear(self, peer: str, name: str, round: int, take: Callable[[str, pa.Table], None], rows: int | None = None) -> None:
        """Read a message if it is there. If a quorum may go on without its sender, a wrong message counts as missing."""
        if (peer, name, round) in self._heard:
            return
        try:
            table = self._session.peek(name, peer, round, rows)
            if table is None:
                return
            with blame(peer):
                take(peer, table)
        except CodedError as error:
            if error.transient and error.party == peer:  # its store does not answer: not there yet
                return
            if error.transient or not forgiving(self._seat.members):
                raise
            self.refused.setdefault(peer, error.code)
            log.warning("%s", error)
        self._heard.add((peer, name, round))

    def _on_attestation(self, peer: str, table: pa.Table) -> None:
        body, signature = (self._session.scalar(table, name) for name in ("document", "signature"))
        self._attest(Signed(peer, body, signature))

    def _on_vote(self, peer: str, table: pa.Table) -> None:
        """Take in a vote, and the statements that its sender passes on.

        A statement without a valid signature is refused, and so is a message without a vote of its sender.
        """
        columns = (self._session.values(table, name).to_pylist() for name in ("kind", "party", "document", "signature"))
        votes = False
        for kind, party, body, signature in zip(*columns, strict=True):
            signed = Signed(party, body, signature)
            if party not in self._seat.members or kind not in ("vote", "attestation"):
                raise BadStatement(party=peer)
            if kind == "vote":
                self._ballot.add(signed)
                votes = votes or party == peer
            else:
                self._attest(signed)
        if not votes:
            raise BadStatement("A message of votes has none of its sender.", party=peer)

    def _on_block(self, peer: str, table: pa.Table) -> None:
        """Keep a block that a party votes for, if it can be made from the attestations received so far."""
        block = parse(self._session.scalar(table, "document"), longest_block(len(self._seat.members)))
        if not isinstance(block, dict):
            raise BadStatement(party=peer)
        if digest(block) not in self._blocks and self._made_from(block) is not None:
            self._blocks[digest(block)] = block

    def _on_final(self, peer: str, table: pa.Table) -> None:
        kept = parse(self._session.scalar(table, "document"), longest_block(len(self._seat.members)))
        block = verify_block(kept, self._seat.members)
        own = self._own.document
        if (block["agreement"], block["height"]) != (self._ballot.agreement, self._ballot.height):
            raise BadStatement("A final block is about another agreement or height.", party=peer)
        if block["run"] == own["run"] and block["manifest"] != own["manifest"]:
            raise BadStatement("A final block is about another manifest.", party=peer)
        self._final = kept

    def _attest(self, signed: Signed) -> None:
        """Keep at most two different attestations of one party. Two are enough to prove that it signed different statements."""
        known = [sha256 for party, sha256 in self._attested if party == signed.party]
        if signed.digest in known or len(known) > 1:
            return
        attested = self._read(signed, self._seat.members[signed.party])
        if (attested.agreement, attested.height) != (self._ballot.agreement, self._ballot.height):
            raise BadStatement("An attestation is about another block.", party=signed.party)
        self._attested[(signed.party, signed.digest)] = signed

    def _made_from(self, block: dict[str, Any]) -> list[Signed] | None:
        return made_from(block, self._attested.values(), self._seat.members, self._read)

    # -- deciding -----------------------------------------------------------------------------------------------------------

    def _candidate(self, patient: bool = True) -> str | None:
        """The hash of the block made from the attestations received so far; None while the deadline allows to wait for more."""
        attesting = {party for party, _ in self._attested}
        if patient and self._voter.view == 0 and not attesting >= self._present:
            return None
        block = build(self._attested.values(), self._seat.members, self._read)
        if block is None:
            return None
        self._blocks[digest(block)] = block
        return digest(block)

    def _wait(self) -> None:
        """Wait until a message comes. After the deadline, go on without the silent parties if the rest is a quorum."""
        voted = self._ballot.voters(self._voter.view, self._voter.phase)
        attesting = {party for party, _ in self._attested}
        name, answered = ("attestation", attesting) if self._session.me not in voted else (self._voter.phase, voted)
        missing = next((peer for peer in self._peers if peer not in answered), self._peers[0])
        try:
            self._session.until(lambda: self._listen() or None, missing, name, 0 if name == "attestation" else self._voter.view)
        except PeerSilent:
            vote = self._voter.advance(self._candidate(patient=False), patient=False) if forgiving(self._seat.members) else None
            if vote is None:
                raise
            self._send(vote)

    def _send(self, vote: Signed) -> None:
        """Send a vote with everything that peers may not have: all attestations, the earlier votes, and the block itself."""
        content = vote.document
        if content["view"] > _MOST_VIEWS:
            raise NoAgreement(f"There were {_MOST_VIEWS} views.", party=self._session.me)
        rows = [("vote", vote), *(("attestation", signed) for signed in self._attested.values())]
        rows += [("vote", signed) for signed in self._ballot.grounds(content["view"], content["phase"])]
        self._session.enter(content["view"])
        self._session.send(
            content["phase"],
            kind=[kind for kind, _ in rows],
            party=[signed.party for _, signed in rows],
            document=[signed.body for _, signed in rows],
            signature=[signed.signature for _, signed in rows],
        )
        if content["phase"] == PREVOTE and content["block"] in self._blocks:
            self._session.send("voted_block", document=canonical(self._blocks[content["block"]]))

    def _concluded(self) -> dict[str, Any] | None:
        """The document of the final block to keep; None until the block is final and this party has it."""
        final = self._ballot.final()
        if self._final is None and final in self._blocks:
            block = self._blocks[final]
            own = self._made_from(block) or []
            self._final = document(block, self._ballot, own)
            if forgiving(self._seat.members):  # a late party reads the block here, because nobody votes any more
                self._session.enter(0)
                self._session.send("final_block", document=canonical(self._final))
        if self._final is not None and self._final["block"]["run"] != self._session.run:
            raise OtherHistory(f"Block {self._ballot.height} closes another run.", party=self._session.initiator)
        return self._final

    def _refuse_two_faces(self) -> None:
        """Keep proofs of members that signed two statements for one place. If every member is needed, the settlement ends."""
        attested: dict[str, list[Signed]] = {}
        for (party, _), signed in self._attested.items():
            attested.setdefault(party, []).append(signed)
        proofs = {party: both for party, both in attested.items() if len(both) > 1}
        proofs |= {party: list(both) for party, both in self._ballot.evidence.items()}
        for party, both in proofs.items():
            self._session.state.keep(EVIDENCE.of(party), [signed.to_json() for signed in both])
            if not forgiving(self._seat.members):
                raise TwoFaced(party=party)
