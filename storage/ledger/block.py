"""The block that closes a run. It is computed from the parties' attestations only, so all parties compute the same block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import combinations, islice, product
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError

from tombolo.storage.canonical import canonical, digest
from tombolo.storage.errors import CodedError
from tombolo.storage.identity import VerifyKey
from tombolo.storage.ledger import merkle
from tombolo.storage.ledger.signed import LONGEST_STATEMENT, BadStatement, Signed
from tombolo.storage.ledger.voting import PRECOMMIT, Ballot, NotFinal, quorum

DOMAIN = "ledger-attestation"
FIRST_PREVIOUS = "0" * 64
_MOST_CHOICES = 256
"""How many ways are tried to make a block when parties have made two attestations each."""
_LONGEST_BLOCK = 1 << 26
MOST_READINGS = 1000
"""The most readings of its odometer that a party states."""
_Name = Annotated[str, Field(max_length=255)]
_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Count = Annotated[int, Field(ge=0, le=2**53 - 1)]


class FactsDiffer(CodedError):
    code = "TMB-LEDGER-102"
    cause = "The parties do not state the same run, metrics, contributions or rewards, so there is no block to sign."
    remedy = "The named party has other results: compare the versions and its log. Then clear the settle task at all parties."


class ForgedBlock(CodedError):
    code = "TMB-LEDGER-103"
    cause = "A stored block does not follow from its attestations."
    remedy = "The stored block was changed. Ask another party for its copy of the block, which must be the same."


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Pair(_Strict):
    """Summary of two parties' reconciled books."""

    parties: tuple[_Name, _Name]
    artifacts: _Count
    bytes: _Count
    root: _Hash
    unmatched: _Count


class Head(_Strict):
    """The end of a party's own record when it attested: number and header hash of its last segment (number 0: no segment)."""

    index: _Count
    digest: _Hash


class Reading(_Strict):
    """How much a recipient has got from the stating party about one population on a meter, over all runs and agreements.

    The population is a tag that only the stating party can read.
    """

    recipient: _Name
    population: _Name
    meter: _Name
    amount: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Attestation(_Strict):
    """What one party states about a run: the summaries of its pairs, the end of its record, and the facts common to all.

    ``odometer`` is the end of its odometer, ``readings`` are its totals up to there for the members of the agreement. Statements
    of a party that has released nothing, and of older versions, have neither.
    """

    agreement: _Name
    agreement_digest: _Hash
    height: int = Field(ge=1, lt=10**9)
    previous: _Hash
    run: _Name
    kind: _Name
    manifest: _Hash
    party: _Name
    pairs: Annotated[tuple[Pair, ...], FailFast()]  # a list of wrong entries must not become a list of errors
    record: Head
    facts: dict[str, Any]
    odometer: Head | None = None
    readings: Annotated[tuple[Reading, ...], FailFast(), Field(max_length=MOST_READINGS)] = ()

    @property
    def common(self) -> dict[str, Any]:
        """The fields that must be the same at every party."""
        return self.model_dump(mode="json", exclude={"party", "pairs", "record", "odometer", "readings"})

    @property
    def released(self) -> dict[str, Any] | None:
        """What the party states about its odometer, as the block has it; None if it states nothing."""
        return None if self.odometer is None else self.model_dump(mode="json", include={"odometer", "readings"})


def read_attestation(signed: Signed, key: VerifyKey) -> Attestation:
    """Verify and read an attestation. Raises SignatureRefused or :class:`BadStatement`."""
    signed.verify(key, DOMAIN)
    _ = signed.document  # canonical, so that every party can compare and hash it
    try:
        attestation = Attestation.model_validate_json(signed.body, strict=True)
    except ValidationError:
        raise BadStatement("A field of an attestation is missing, wrong or unknown.", party=signed.party) from None
    pairs = attestation.pairs
    own = all(signed.party in pair.parties and list(pair.parties) == sorted(set(pair.parties)) for pair in pairs)
    places = [(one.recipient, one.population, one.meter) for one in attestation.readings]
    if places != sorted(set(places)) or (places and attestation.odometer is None):
        raise BadStatement("The readings in an attestation are not in order.", party=signed.party)
    if attestation.party != signed.party or not own or len({pair.parties for pair in pairs}) != len(pairs):
        raise BadStatement("An attestation names a wrong party, or a wrong or repeated pair of parties.", party=signed.party)
    return attestation


Reader = Callable[[Signed, VerifyKey], Attestation]


def longest_block(members: int) -> int:
    """The most bytes of a final block of so many members, with its votes and attestations."""
    return min(_LONGEST_BLOCK, (members + 1) * LONGEST_STATEMENT)


def build(attested: Iterable[Signed], members: Mapping[str, VerifyKey], read: Reader = read_attestation) -> dict[str, Any] | None:
    """The block of these attestations. A quorum of the members must state the same; None while more attestations can make it.

    A party with two different attestations counts as absent. ``read`` may remember what it has read. Raises :class:`FactsDiffer` if
    so many differ that no quorum can state the same any more.
    """
    needed = quorum(len(members))
    statements = _once(attested, members, read)
    if len(statements) < needed:
        return None
    common, count = Counter(canonical(statement.common) for statement in statements.values()).most_common(1)[0]
    if count < needed <= count + len(members) - len(statements):
        return None
    if count < needed:
        odd = sorted(party for party, statement in statements.items() if canonical(statement.common) != common)
        raise FactsDiffer(f"They differ from most parties: {', '.join(odd)}.", party=odd[0])
    agreeing = {party: statement for party, statement in sorted(statements.items()) if canonical(statement.common) == common}
    pairs = _pairs(agreeing)
    first = next(iter(agreeing.values()))
    released = {party: said for party, statement in agreeing.items() if (said := statement.released) is not None}
    return {
        "schema": "tombolo.block/1",
        **first.common,
        "parties": sorted(members),
        "attested": sorted(agreeing),
        "records": {party: statement.record.model_dump(mode="json") for party, statement in agreeing.items()},
        "pairs": pairs,
        "entries_root": merkle.root([merkle.leaf(canonical(pair)) for pair in pairs]).hex(),
        **({"odometers": released} if released else {}),
    }


def _once(attested: Iterable[Signed], members: Mapping[str, VerifyKey], read: Reader) -> dict[str, Attestation]:
    """One attestation per member, without the members that made two different ones."""
    bodies: dict[str, Signed] = {}
    twice = set()
    for signed in attested:
        if signed.party in members:
            known = bodies.setdefault(signed.party, signed)
            if known.body != signed.body:
                twice.add(signed.party)
    return {party: read(signed, members[party]) for party, signed in bodies.items() if party not in twice}


def _pairs(statements: Mapping[str, Attestation]) -> list[dict[str, Any]]:
    """The summary of every two attesting parties. If their summaries differ, the pair is marked as disputed, without a summary."""
    summaries = []
    for pair in combinations(sorted(statements), 2):
        sides = [next((summary for summary in statements[party].pairs if summary.parties == pair), None) for party in pair]
        if sides[0] is not None and sides[0] == sides[1]:
            summaries.append(sides[0].model_dump(mode="json"))
        else:
            summaries.append({"parties": list(pair), "disputed": True})
    return summaries


def made_from(
    block: Mapping[str, Any], attested: Iterable[Signed], members: Mapping[str, VerifyKey], read: Reader = read_attestation
) -> list[Signed] | None:
    """The attestations that make exactly this block, one for each party in it; None if there are none.

    If a party made two different attestations, both are tried.
    """
    named = block.get("attested")
    by_party: dict[str, list[Signed]] = {}
    for signed in attested:
        by_party.setdefault(signed.party, []).append(signed)
    if not isinstance(named, list) or len(named) > len(members):
        return None
    if not all(isinstance(party, str) and party in by_party for party in named):
        return None
    choices = islice(product(*(by_party[party] for party in named)), _MOST_CHOICES)
    return next((list(chosen) for chosen in choices if build(chosen, members, read) == block), None)


def document(block: Mapping[str, Any], ballot: Ballot, attested: Iterable[Signed]) -> dict[str, Any]:
    """A final block as it is stored: with the votes that make it final, and the attestations that it is made from."""
    attestations = [signed.to_json() for signed in sorted(attested, key=lambda signed: signed.party)]
    return {"block": dict(block), "certificate": [vote.to_json() for vote in ballot.certificate()], "attestations": attestations}


def verify_block(kept: Mapping[str, Any], members: Mapping[str, VerifyKey]) -> dict[str, Any]:
    """Check a stored block alone, and return it: its votes, its attestations, and that these make this block.

    ``members`` are the members of the agreement with the block's ``agreement_digest``. Raises NotFinal, :class:`ForgedBlock`,
    SignatureRefused or BadStatement.
    """
    try:
        block, votes, attested = kept["block"], list(kept["certificate"]), list(kept["attestations"])
        height, agreement = int(block["height"]), str(block["agreement"])
    except (KeyError, TypeError, ValueError):
        raise ForgedBlock("Its block, certificate or attestations are missing or damaged.") from None
    ballot = Ballot(agreement, height, members)
    for vote in votes:
        ballot.add(Signed.from_json(vote))
    if ballot.final(PRECOMMIT) != digest(block):
        raise NotFinal(f"Block {height}.")
    if build([Signed.from_json(document) for document in attested], members) != block:
        raise ForgedBlock(f"Block {height}.")
    return dict(block)
