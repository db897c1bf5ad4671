"""Numbered changes of an agreement, signed by its members: keys, stores, members."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tombolo.agreements.tables import Strict
from tombolo.agreements.terms import Name
from tombolo.storage.canonical import digest
from tombolo.storage.errors import CodedError
from tombolo.storage.identity import SealKey, VerifyKey, decode_key
from tombolo.storage.roles import INITIATORS
from tombolo.storage.stores.opening import require_shareable

Digest64 = Field(pattern=r"^[0-9a-f]{64}$")


class BadAmendment(CodedError):
    code = "TMB-AGREE-001"
    cause = "An amendment is wrong, or it does not fit the terms and amendments before it."
    remedy = "Correct a new amendment that nobody has signed; otherwise copy the agreement folder from a peer."


Address = Annotated[str, AfterValidator(require_shareable)]


class Pin(Strict):
    """Pins a party's public keys and store. For a member, the given fields replace the pinned ones (a new key, a new store)."""

    party: Name
    verify: str | None = None
    seal: str | None = None
    store: Address | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.verify is None and self.seal is None and self.store is None:
            raise ValueError("a pin needs at least one of verify, seal, store")
        return self


class Admit(Strict):
    """A new member with its role, keys and store."""

    party: Name
    role: Name
    verify: str
    seal: str
    store: Address


class Change(Strict):
    """One change; exactly one field is given."""

    pin: Pin | None = None
    join: Admit | None = None
    leave: Name | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(field is not None for field in (self.pin, self.join, self.leave)) != 1:
            raise ValueError("a change has exactly one of pin, join, leave")
        return self


class Amendment(Strict):
    """A file ``amendments/NNNN.yaml``; ``previous`` is the digest of the amendment before it, or of the terms."""

    schema_version: Literal["tombolo.amendment/1"] = Field(alias="schema")
    number: int = Field(ge=1)
    previous: str = Digest64
    changes: list[Change] = Field(min_length=1)

    def document(self) -> dict[str, Any]:
        """The amendment as a JSON document, for its digest."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical amendment. It covers ``previous``, so it is the digest of the agreement up to here."""
        return digest(self.document())


@dataclass(frozen=True)
class Member:
    """A member with its pinned role, public keys and store address."""

    name: str
    role: str
    verify: VerifyKey
    seal: SealKey
    store: str

    @property
    def fingerprint(self) -> str:
        """A short name of the member's verification key."""
        return fingerprint(self.verify)


def fingerprint(key: VerifyKey) -> str:
    """A short name of a public key, for people and file names."""
    return hashlib.sha256(key.raw).hexdigest()[:16]


def amend(members: Mapping[str, Member], amendment: Amendment, roles: Mapping[str, str]) -> tuple[dict[str, Member], list[Member]]:
    """The members after an amendment, and the members that must sign it.

    ``roles`` are the roles of the parties in the terms; the first amendment pins all these parties. The signers are all members
    before the amendment, and every member with a new signing key. Raises :class:`BadAmendment`.
    """
    if not members and any(change.pin is None for change in amendment.changes):
        raise BadAmendment("The first amendment pins every party and must not do anything else.")
    after, signers = dict(members), list(members.values())
    for change in amendment.changes:
        if change.pin is not None:
            pinned = _pin(after, change.pin, roles)
            if change.pin.party not in members or pinned.verify != members[change.pin.party].verify:
                signers.append(pinned)
            after[change.pin.party] = pinned
        elif change.join is not None:
            if change.join.party in after:
                raise BadAmendment(f"{change.join.party} is a member already.")
            new = change.join
            after[new.party] = Member(new.party, new.role, _verify(new.verify), _seal(new.seal), new.store)
            signers.append(after[new.party])
        else:
            if change.leave not in after or after[change.leave].role in INITIATORS:
                raise BadAmendment(f"{change.leave} cannot leave: it is not a member, or its role is {' or '.join(INITIATORS)}.")
            del after[change.leave]
    lacking = sorted(set(roles) - set(after)) if not members else []
    if lacking:
        raise BadAmendment(f"The first amendment must pin every party; {', '.join(lacking)} is missing.")
    if len({member.verify.raw for member in after.values()}) != len(after):
        raise BadAmendment("Two members have the same signing key; every member needs its own.")
    return after, signers


def _pin(members: Mapping[str, Member], pin: Pin, roles: Mapping[str, str]) -> Member:
    member = members.get(pin.party)
    if member is not None:
        member = replace(member, verify=_verify(pin.verify)) if pin.verify else member
        member = replace(member, seal=_seal(pin.seal)) if pin.seal else member
        return replace(member, store=pin.store) if pin.store else member
    if pin.party not in roles:
        raise BadAmendment(f"The terms have no party {pin.party}; a new member needs join, not pin.")
    if not (pin.verify and pin.seal and pin.store):
        raise BadAmendment(f"The first pin of {pin.party} needs verify, seal and store.")
    return Member(pin.party, roles[pin.party], _verify(pin.verify), _seal(pin.seal), pin.store)


def _verify(encoded: str) -> VerifyKey:
    return VerifyKey(decode_key(encoded))


def _seal(encoded: str) -> SealKey:
    return SealKey(decode_key(encoded))
