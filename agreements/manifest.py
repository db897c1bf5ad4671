"""A run's manifest: the invitation and the joins of all parties, in one document. All parties sign it before they read data."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, ValidationError

from tombolo.agreements.kinds import JOINT
from tombolo.agreements.protocol import Offered
from tombolo.storage.canonical import digest
from tombolo.storage.errors import CodedError, shown
from tombolo.storage.moments import MOST_CHARACTERS, moment
from tombolo.storage.plugins import OWN
from tombolo.storage.roles import MOST_PARTIES

MANIFEST_DOMAIN = "manifest"
"""The domain of signatures over manifests; such a signature is valid for nothing else."""


def _moment(value: str) -> str:
    moment(value)
    return value


def _readable(value: str) -> str:
    if shown(value) != value:
        raise ValueError("a text that cannot be shown")
    return value


Moment = Annotated[str, Field(max_length=MOST_CHARACTERS), AfterValidator(_moment)]
RUN_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,199}$"
Run = Annotated[str, Field(pattern=RUN_ID)]
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._+!-]*$"
Name = Annotated[str, Field(max_length=63)]
MOST_OF_A_PERSON = 200
Person = Annotated[str, Field(max_length=MOST_OF_A_PERSON), AfterValidator(_readable)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SoftwareDiffers(CodedError):
    code = "TMB-RUN-013"
    cause = "Two parties have versions of the software that do not work together."
    remedy = "Install the same version of Tombolo, or of the plug-in that has the protocol, at both parties; then start a new run."


class BadManifest(CodedError):
    code = "TMB-MANIFEST-001"
    cause = "An invitation, join or manifest has a wrong or missing field."
    remedy = "Install the same version of Tombolo at all parties; then read the task log of the party that sent it."


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def document(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical document."""
        return digest(self.document())

    @classmethod
    def from_document(cls, document: Any) -> Self:
        """Read a document that a party wrote. Raises :class:`BadManifest`, whose text repeats no value of it."""
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            places = {str(mistake["loc"][0]) if mistake["loc"] else "" for mistake in error.errors()}
            fields = sorted({place if place in cls.model_fields else "an unknown field" for place in places if place})
            raise BadManifest(f"{cls.__name__}: {', '.join(fields) or 'not an object with fields'}.") from None


def _kind(value: str) -> str:
    if value not in JOINT:
        raise ValueError("unknown kind of run")
    return value


Kind = Annotated[str, Field(max_length=40), AfterValidator(_kind)]


class Software(_Document):
    """The software that a party computes a protocol with: distribution, version, and the version of the protocol's messages."""

    distribution: str = Field(max_length=200, pattern=_NAME)
    version: str = Field(max_length=100, pattern=_NAME)
    wire: int = Field(ge=0, le=10**6)

    @classmethod
    def of(cls, offered: Offered) -> Software:
        """The software of a protocol that is installed here."""
        return cls(distribution=offered.distribution, version=offered.version, wire=offered.protocol.wire)

    def speaks_with(self, other: Software | None) -> bool:
        """Whether two parties can train together: the same messages and, for a plug-in, the same version."""
        if other is None or (self.distribution, self.wire) != (other.distribution, other.wire):
            return False
        return self.distribution == OWN or self.version == other.version

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}, messages {self.wire}"


class _WithSoftware(_Document):
    """If ``software`` is None, it is not written, so that documents older than this field keep their digest."""

    software: Software | None = None

    def document(self) -> dict[str, Any]:
        plain = super().document()
        return {name: value for name, value in plain.items() if name != "software" or value is not None}


class Invitation(_WithSoftware):
    """What the party that starts a run proposes: a run of one kind with all its parameters.

    ``model`` is an earlier run: it published the model to predict with, or it built the index to ask or to bring up to date.
    """

    run: Run
    kind: Kind
    agreement: Name
    agreement_digest: Digest
    initiator: Name
    parameters: dict[Name, int | float | Annotated[str, Field(max_length=1000)] | bool | None] = Field(max_length=200)
    as_of: Moment
    created: Moment
    expires: Moment
    model: Run | None = None

    @property
    def expires_at(self) -> datetime:
        """When the run must end at the latest."""
        return moment(self.expires)


class _Yes(_WithSoftware):
    run: Run
    party: Name
    seal: str = Field(max_length=4096)
    approver: Person
    created: Moment


class Join(_Yes):
    """A party accepts an invitation. ``seal`` is its sealing key for this run, ``approver`` the person or rule that approved."""

    invitation_digest: Digest


class LateJoin(_Yes):
    """A client accepts a run that began without it. The other parties have already signed the run's ``manifest``."""

    manifest: Digest


class Decline(_Document):
    """A client refuses an invitation, and the terms let the run begin without it. It is sent instead of a join."""

    run: Run
    party: Name
    invitation_digest: Digest
    decliner: Person
    created: Moment


_Names = Annotated[tuple[Name, ...], Field(max_length=MOST_PARTIES), FailFast()]


class Closing(_Document):
    """The aggregator's list of the clients that had joined, and of those that had declined, when joining ended.

    A client in neither list had not answered.
    """

    run: Run
    invitation_digest: Digest
    joined: _Names
    declined: _Names
    closed: Moment


class Manifest(_Document):
    """The invitation and the joins, sorted by party. Every party builds the same manifest by itself."""

    invitation: Invitation
    joins: tuple[Join, ...]

    @classmethod
    def build(cls, invitation: Invitation, joins: list[Join]) -> Manifest:
        """The manifest of an invitation and its joins, which may be in any order."""
        return cls(invitation=invitation, joins=tuple(sorted(joins, key=lambda join: join.party)))

    def document(self) -> dict[str, Any]:
        """The manifest as a JSON document, for its digest."""
        return {"invitation": self.invitation.document(), "joins": [join.document() for join in self.joins]}

    @property
    def parties(self) -> list[str]:
        """The names of the parties that take part, sorted."""
        return [join.party for join in self.joins]
