"""A document with the signature of its author, as it is sent, passed on and stored."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tombolo.storage.canonical import canonical, parse
from tombolo.storage.errors import CodedError
from tombolo.storage.identity import SigningKey, VerifyKey

LONGEST_STATEMENT = 1 << 20
"""The most bytes of a signed document."""


class BadStatement(CodedError):
    code = "TMB-LEDGER-101"
    cause = "A signed vote or attestation has a wrong form, or belongs to another block."
    remedy = "Install the same version of Tombolo at all parties. If it happens again, keep the store and ask the named party."


@dataclass(frozen=True)
class Signed:
    """``body`` is the canonical JSON that ``party`` signed. Do not trust it before :meth:`verify`."""

    party: str
    body: bytes
    signature: bytes

    @classmethod
    def make(cls, party: str, document: Any, key: SigningKey, domain: str) -> Signed:
        """Sign a document."""
        body = canonical(document)
        return cls(party, body, key.sign(domain, body))

    def verify(self, key: VerifyKey, domain: str) -> None:
        """Raise SignatureRefused unless ``key`` signed the body in this domain."""
        key.verify(self.signature, domain, self.body)

    @cached_property
    def document(self) -> dict[str, Any]:
        """The content of the body. Raises :class:`BadStatement` if it is not a canonical JSON object."""
        try:
            content = parse(self.body, LONGEST_STATEMENT)
        except CodedError:
            raise BadStatement(party=self.party) from None
        if not isinstance(content, dict):
            raise BadStatement(party=self.party)
        return content

    @property
    def digest(self) -> str:
        """SHA-256 of the body, without the signature, because a new signature of the same body differs."""
        return hashlib.sha256(self.body).hexdigest()

    def to_json(self) -> dict[str, str]:
        """The signed document as a JSON object."""
        return {"party": self.party, "body": self.body.decode(), "signature": base64.b64encode(self.signature).decode()}

    @classmethod
    def from_json(cls, found: Any) -> Signed:
        """Inverse of :meth:`to_json`; raises :class:`BadStatement`."""
        try:
            return cls(str(found["party"]), found["body"].encode(), base64.b64decode(found["signature"], validate=True))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise BadStatement("It needs a party, a body and a signature.") from None
