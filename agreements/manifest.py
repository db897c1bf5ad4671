"""A run's manifest: the invitation and every party's join, in one document that all sign before data is touched."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from tombolo.agreements.kinds import JOINT
from tombolo.agreements.protocol import Offered
from tombolo.storage.canonical import digest
from tombolo.storage.errors import CodedError
from tombolo.storage.plugins import OWN

MANIFEST_DOMAIN = "manifest"
"""What signatures over manifests are bound to."""


def _moment(value: str) -> str:
    datetime.fromisoformat(value)
    return value


Moment = Annotated[str, Field(max_length=40), AfterValidator(_moment)]
RUN_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,199}$"
Run = Annotated[str, Field(pattern=RUN_ID)]
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._+!-]*$"
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SoftwareDiffers(CodedError):
    code = "TMB-RUN-013"
    cause = "Two parties compute the protocol with software that does not work together."
    remedy = (
        "Install the same version of Tombolo, or of the plug-in that offers the protocol, at both parties; then start a new run."
    )


class BadManifest(CodedError):
    code = "TMB-MANIFEST-001"
    cause = "An invitation, join or manifest is malformed."
    remedy = "All parties must run the same version of Tombolo; look at the sending party's log."


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
        """Read what a party wrote; raises :class:`BadManifest` without quoting it."""
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            places = {str(one["loc"][0]) if one["loc"] else "" for one in error.errors()}
            fields = sorted({one if one in cls.model_fields else "a field that there is not" for one in places if one})
            raise BadManifest(f"{cls.__name__}: {', '.join(fields) or 'not a document'}.") from None


def _kind(value: str) -> str:
    if value not in JOINT:
        raise ValueError("no kind of run")
    return value


Kind = Annotated[str, Field(max_length=40), AfterValidator(_kind)]


class Software(_Document):
    """What a party computes a protocol with: who offers it, in which version, and the version of its messages."""

    distribution: str = Field(max_length=200, pattern=_NAME)
    version: str = Field(max_length=100, pattern=_NAME)
    wire: int = Field(ge=0, le=10**6)

    @classmethod
    def of(cls, offered: Offered) -> Software:
        """What this party has installed of a protocol."""
        return cls(distribution=offered.distribution, version=offered.version, wire=offered.protocol.wire)

    def speaks_with(self, other: Software | None) -> bool:
        """Whether two parties can train together: the same messages, and of a plug-in the same version."""
        if other is None or (self.distribution, self.wire) != (other.distribution, other.wire):
            return False
        return self.distribution == OWN or self.version == other.version

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}, messages {self.wire}"


class _WithSoftware(_Document):
    """Documents of before this field was known keep their digest: where it is missing, it is not written."""

    software: Software | None = None

    def document(self) -> dict[str, Any]:
        plain = super().document()
        return {name: value for name, value in plain.items() if name != "software" or value is not None}


class Invitation(_WithSoftware):
    """What the guest proposes: a run of one kind with all its parameters.

    ``model`` is the run that published the model to predict with, or built the index to ask or to bring up to date.
    """

    run: Run
    kind: Kind
    agreement: str = Field(max_length=63)
    agreement_digest: Digest
    initiator: str = Field(max_length=63)
    parameters: dict[str, int | float | str | bool | None]
    as_of: Moment
    created: Moment
    expires: Moment
    model: Run | None = None

    @property
    def expires_at(self) -> datetime:
        """When the run's time is over."""
        moment = datetime.fromisoformat(self.expires)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class _Yes(_WithSoftware):
    run: Run
    party: str = Field(max_length=63)
    seal: str = Field(max_length=4096)
    approver: str = Field(max_length=200)
    created: Moment


class Join(_Yes):
    """One party's yes to an invitation: its sealing key for this run, and who approved."""

    invitation_digest: Digest


class LateJoin(_Yes):
    """A client's yes to a run that has begun without it: to its manifest, by which all others work already."""

    manifest: Digest


class Decline(_Document):
    """A client's no to an invitation, where the terms let a run begin without it; it stands in place of a join."""

    run: Run
    party: str = Field(max_length=63)
    invitation_digest: Digest
    decliner: str = Field(max_length=200)
    created: Moment


class Closing(_Document):
    """The aggregator's word on which clients take part: who had joined and who had declined when joining was closed.

    Who is in neither list had not answered.
    """

    run: Run
    invitation_digest: Digest
    joined: tuple[str, ...]
    declined: tuple[str, ...]
    closed: Moment


class Manifest(_Document):
    """The invitation and the joins sorted by party: every party builds the same one by itself."""

    invitation: Invitation
    joins: tuple[Join, ...]

    @classmethod
    def build(cls, invitation: Invitation, joins: list[Join]) -> Manifest:
        """The manifest that follows from an invitation and joins in any order."""
        return cls(invitation=invitation, joins=tuple(sorted(joins, key=lambda join: join.party)))

    def document(self) -> dict[str, Any]:
        """What is signed, as JSON holds it."""
        return {"invitation": self.invitation.document(), "joins": [join.document() for join in self.joins]}

    @property
    def parties(self) -> list[str]:
        """Who takes part, sorted."""
        return [join.party for join in self.joins]
