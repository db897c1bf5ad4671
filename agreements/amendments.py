"""Numbered, co-signed changes to an agreement: keys, stores, members."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from tombolo.agreements.tables import Strict
from tombolo.agreements.terms import Name
from tombolo.storage.canonical import digest
from tombolo.storage.errors import CodedError
from tombolo.storage.identity import SealKey, VerifyKey, decode_key
from tombolo.storage.roles import INITIATORS

Digest64 = Field(pattern=r"^[0-9a-f]{64}$")


class BadAmendment(CodedError):
    code = "TMB-AGREE-001"
    cause = "An amendment does not fit what is before it."
    remedy = "Restore the agreement folder from a peer's copy; amendments are numbered from 0001 and never changed."


class Pin(Strict):
    """Pin a party's public keys and store; for a member, what is given replaces what was pinned before (rotation, a new store)."""

    party: Name
    verify: str | None = None
    seal: str | None = None
    store: str | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.verify is None and self.seal is None and self.store is None:
            raise ValueError("a pin gives at least one of verify, seal, store")
        return self


class Admit(Strict):
    """A new member with its role, keys and store."""

    party: Name
    role: Name
    verify: str
    seal: str
    store: str


class Change(Strict):
    """One change: exactly one of the fields."""

    pin: Pin | None = None
    join: Admit | None = None
    leave: Name | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(one is not None for one in (self.pin, self.join, self.leave)) != 1:
            raise ValueError("a change is exactly one of pin, join, leave")
        return self


class Amendment(Strict):
    """A file ``amendments/NNNN.yaml``; ``previous`` is the digest of what it follows."""

    schema_version: Literal["tombolo.amendment/1"] = Field(alias="schema")
    number: int = Field(ge=1)
    previous: str = Digest64
    changes: list[Change] = Field(min_length=1)

    def document(self) -> dict[str, Any]:
        """What is signed, as JSON holds it."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical amendment, which contains its predecessor's digest: the agreement's digest from here on."""
        return digest(self.document())


@dataclass(frozen=True)
class Member:
    """A member as pinned: its role, public keys, and where peers read its store."""

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
    """The members after an amendment, and everybody whose signature it needs.

    ``roles`` are those of the terms: the first amendment pins all of them. Signers are all members before it and every key
    that it brings in. Raises :class:`BadAmendment`.
    """
    if not members and any(change.pin is None for change in amendment.changes):
        raise BadAmendment("The first amendment pins every party and does nothing else.")
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
            one = change.join
            after[one.party] = Member(one.party, one.role, _verify(one.verify), _seal(one.seal), one.store)
            signers.append(after[one.party])
        else:
            if change.leave not in after or after[change.leave].role in INITIATORS:
                raise BadAmendment(f"{change.leave} cannot leave.")
            del after[change.leave]
    lacking = sorted(set(roles) - set(after)) if not members else []
    if lacking:
        raise BadAmendment(f"The first amendment pins every party; it lacks {', '.join(lacking)}.")
    if len({member.verify.raw for member in after.values()}) != len(after):
        raise BadAmendment("Two members would have one signing key; one would sign for both.")
    return after, signers


def _pin(members: Mapping[str, Member], pin: Pin, roles: Mapping[str, str]) -> Member:
    known = members.get(pin.party)
    if known is not None:
        made = known
        made = replace(made, verify=_verify(pin.verify)) if pin.verify else made
        made = replace(made, seal=_seal(pin.seal)) if pin.seal else made
        return replace(made, store=pin.store) if pin.store else made
    if pin.party not in roles:
        raise BadAmendment(f"{pin.party} is no party of the terms; a new member joins.")
    if not (pin.verify and pin.seal and pin.store):
        raise BadAmendment(f"A first pin of {pin.party} needs verify, seal and store.")
    return Member(pin.party, roles[pin.party], _verify(pin.verify), _seal(pin.seal), pin.store)


def _verify(encoded: str) -> VerifyKey:
    return VerifyKey(decode_key(encoded))


def _seal(encoded: str) -> SealKey:
    return SealKey(decode_key(encoded))
