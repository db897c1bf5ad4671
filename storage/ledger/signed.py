"""A document with its author's signature, as it is sent, passed on and kept."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tombolo.storage.canonical import canonical, parse
from tombolo.storage.errors import CodedError
from tombolo.storage.identity import SigningKey, VerifyKey

_LARGEST = 1 << 22


class BadStatement(CodedError):
    code = "TMB-LEDGER-101"
    cause = "A signed statement of the ledger is malformed, or is about something else."
    remedy = "Both sides must run the same version; keep the statement and ask the party named."


@dataclass(frozen=True)
class Signed:
    """``body`` is the canonical JSON that ``party`` signed; nothing is known of it before :meth:`verify`."""

    party: str
    body: bytes
    signature: bytes

    @classmethod
    def make(cls, party: str, document: Any, key: SigningKey, domain: str) -> Signed:
        """Sign a document."""
        body = canonical(document)
        return cls(party, body, key.sign(domain, body))

    def verify(self, key: VerifyKey, domain: str) -> None:
        """Raise SignatureRefused unless ``party``'s key signed the body in this domain."""
        key.verify(self.signature, domain, self.body)

    @cached_property
    def document(self) -> dict[str, Any]:
        """The body's content; raises :class:`BadStatement` where it is not an object in canonical form."""
        try:
            found = parse(self.body, _LARGEST)
        except CodedError:
            raise BadStatement(party=self.party) from None
        if not isinstance(found, dict):
            raise BadStatement(party=self.party)
        return found

    @property
    def digest(self) -> str:
        """SHA-256 of the body; signatures are not part of it, since they differ from one signing to the next."""
        return hashlib.sha256(self.body).hexdigest()

    def to_json(self) -> dict[str, str]:
        """For a kept block."""
        return {"party": self.party, "body": self.body.decode(), "signature": base64.b64encode(self.signature).decode()}

    @classmethod
    def from_json(cls, found: Any) -> Signed:
        """Inverse of :meth:`to_json`; raises :class:`BadStatement`."""
        try:
            return cls(str(found["party"]), found["body"].encode(), base64.b64decode(found["signature"], validate=True))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise BadStatement("It is not a party, a body and a signature.") from None
