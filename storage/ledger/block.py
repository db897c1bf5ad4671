"""The block that closes a run: a function of what all parties attested, without a free field, so that all compute the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations, product
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tombolo.storage.canonical import canonical, digest
from tombolo.storage.errors import CodedError
from tombolo.storage.identity import VerifyKey
from tombolo.storage.ledger import merkle
from tombolo.storage.ledger.signed import BadStatement, Signed
from tombolo.storage.ledger.voting import PRECOMMIT, Ballot, NotFinal, quorum

DOMAIN = "ledger-attestation"
FIRST_PREVIOUS = "0" * 64
_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Count = Annotated[int, Field(ge=0, le=1 << 53)]


class FactsDiffer(CodedError):
    code = "TMB-LEDGER-102"
    cause = "The parties do not attest the same run, metrics, contributions or rewards, so there is no block to sign."
    remedy = "The party named computed something else: compare versions and its log; then clear the settle task at all parties."


class ForgedBlock(CodedError):
    code = "TMB-LEDGER-103"
    cause = "A block is not what its attestations make of it."
    remedy = "The stored block was altered; take it from another party's store, which holds the same."


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Pair(_Strict):
    """Summary of two parties' reconciled books."""

    parties: tuple[str, str]
    artifacts: _Count
    bytes: _Count
    root: _Hash
    unmatched: _Count


class Head(_Strict):
    """Where a party's own record ended when it attested: number and header hash of its last segment (0 while it had none)."""

    index: _Count
    digest: _Hash


class Attestation(_Strict):
    """What one party says of a run: its pairs' summaries and its record's end, and the facts that all parties must find alike."""

    agreement: str
    agreement_digest: _Hash
    height: int = Field(ge=1)
    previous: _Hash
    run: str
    kind: str
    manifest: _Hash
    party: str
    pairs: tuple[Pair, ...]
    record: Head
    facts: dict[str, Any]

    @property
    def common(self) -> dict[str, Any]:
        """All that must be the same at every party."""
        return self.model_dump(mode="json", exclude={"party", "pairs", "record"})


def read_attestation(signed: Signed, key: VerifyKey) -> Attestation:
    """Verify and read; raises SignatureRefused or :class:`BadStatement`."""
    signed.verify(key, DOMAIN)
    try:
        found = Attestation.model_validate_json(signed.body)
    except ValidationError:
        raise BadStatement("An attestation lacks a field or has a foreign one.", party=signed.party) from None
    own = all(signed.party in pair.parties and list(pair.parties) == sorted(set(pair.parties)) for pair in found.pairs)
    if found.party != signed.party or not own or len({pair.parties for pair in found.pairs}) != len(found.pairs):
        raise BadStatement("An attestation is about other parties than its own pairs.", party=signed.party)
    return found


def build(attested: Iterable[Signed], members: Mapping[str, VerifyKey]) -> dict[str, Any] | None:
    """The block of these attestations; None while too few alike are there, the members' quorum being needed.

    A party that attested two different things counts as absent. What fewer than a quorum attest alike does not get into a block:
    raises :class:`FactsDiffer` where no common ground is left.
    """
    needed = quorum(len(members))
    statements = _once(attested, members)
    if len(statements) < needed:
        return None
    common, count = Counter(canonical(one.common) for one in statements.values()).most_common(1)[0]
    if count < needed <= count + len(members) - len(statements):
        return None
    if count < needed:
        odd = sorted(party for party, one in statements.items() if canonical(one.common) != common)
        raise FactsDiffer(f"Others than most: {', '.join(odd)}.", party=odd[0])
    agreeing = {party: one for party, one in sorted(statements.items()) if canonical(one.common) == common}
    pairs = _pairs(agreeing)
    first = next(iter(agreeing.values()))
    return {
        "schema": "tombolo.block/1",
        **first.common,
        "parties": sorted(members),
        "attested": sorted(agreeing),
        "records": {party: one.record.model_dump(mode="json") for party, one in agreeing.items()},
        "pairs": pairs,
        "entries_root": merkle.root([merkle.leaf(canonical(pair)) for pair in pairs]).hex(),
    }


def _once(attested: Iterable[Signed], members: Mapping[str, VerifyKey]) -> dict[str, Attestation]:
    """One attestation per member; those who gave two are left out."""
    bodies: dict[str, Signed] = {}
    twice = set()
    for signed in attested:
        if signed.party in members:
            known = bodies.setdefault(signed.party, signed)
            if known.body != signed.body:
                twice.add(signed.party)
    return {party: read_attestation(one, members[party]) for party, one in bodies.items() if party not in twice}


def _pairs(statements: Mapping[str, Attestation]) -> list[dict[str, Any]]:
    """Every two attesting parties' summary, where both give the same; a disputed pair is named without one."""
    found = []
    for pair in combinations(sorted(statements), 2):
        sides = [next((one for one in statements[party].pairs if one.parties == pair), None) for party in pair]
        if sides[0] is not None and sides[0] == sides[1]:
            found.append(sides[0].model_dump(mode="json"))
        else:
            found.append({"parties": list(pair), "disputed": True})
    return found


def made_from(block: Mapping[str, Any], attested: Iterable[Signed], members: Mapping[str, VerifyKey]) -> list[Signed] | None:
    """Those of the attestations that make exactly this block, by party; None where they do not.

    Whoever attested two things has two; which one the block was made from is tried.
    """
    named = block.get("attested")
    faces: dict[str, list[Signed]] = {}
    for one in attested:
        faces.setdefault(one.party, []).append(one)
    if not isinstance(named, list) or len(named) > len(members) or not all(party in faces for party in named):
        return None
    choices = product(*(faces[party] for party in named))
    return next((list(chosen) for chosen in choices if build(chosen, members) == block), None)


def document(block: Mapping[str, Any], ballot: Ballot, attested: Iterable[Signed]) -> dict[str, Any]:
    """A final block as it is kept: with the votes that made it final and the attestations that it was made from."""
    own = [one.to_json() for one in sorted(attested, key=lambda one: one.party)]
    return {"block": dict(block), "certificate": [vote.to_json() for vote in ballot.certificate()], "attestations": own}


def verify_block(kept: Mapping[str, Any], members: Mapping[str, VerifyKey]) -> dict[str, Any]:
    """Check a kept block by itself and return it: certificate, attestations, and that they make this block.

    ``members`` are those of the agreement as the block's ``agreement_digest`` has it. Raises NotFinal, :class:`ForgedBlock`,
    SignatureRefused or BadStatement.
    """
    try:
        block, votes, attested = kept["block"], list(kept["certificate"]), list(kept["attestations"])
        height, agreement = int(block["height"]), str(block["agreement"])
    except (KeyError, TypeError, ValueError):
        raise ForgedBlock("It lacks its block, certificate or attestations.") from None
    ballot = Ballot(agreement, height, members)
    for vote in votes:
        ballot.add(Signed.from_json(vote))
    if ballot.final(PRECOMMIT) != digest(block):
        raise NotFinal(f"Block {height}.")
    if build([Signed.from_json(one) for one in attested], members) != block:
        raise ForgedBlock(f"Block {height}.")
    return dict(block)
