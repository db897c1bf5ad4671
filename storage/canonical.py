"""Canonical JSON (RFC 8785) and digests over it: the bytes that are signed and compared."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import rfc8785

from tombolo.storage.errors import CodedError


class NotCanonical(CodedError):
    code = "TMB-CORE-001"
    cause = "A document cannot be put into canonical form."
    remedy = "Use only text, numbers, booleans, null, lists and string-keyed objects."


def canonical(document: Any) -> bytes:
    """Return the RFC 8785 bytes of a JSON document; raises :class:`NotCanonical`."""
    try:
        return rfc8785.dumps(document)
    except rfc8785.CanonicalizationError as error:
        raise NotCanonical(str(error)) from None


def digest(document: Any) -> str:
    """Return the SHA-256 of the canonical bytes, as 64 hexadecimal characters."""
    return hashlib.sha256(canonical(document)).hexdigest()


def parse(data: bytes, limit: int = 1 << 20) -> Any:
    """Parse JSON that somebody else wrote and insist that it is already canonical, so that it has one reading.

    Raises :class:`NotCanonical` when it is too large, not JSON, or differs from its own canonical form.
    """
    if len(data) > limit:
        raise NotCanonical(f"The document has {len(data)} bytes; at most {limit} are allowed.")
    try:
        document = json.loads(data)
        again = rfc8785.dumps(document)
    except (ValueError, RecursionError, rfc8785.CanonicalizationError):
        raise NotCanonical("The document is not JSON.") from None
    if again != data:
        raise NotCanonical("The document is not in canonical form.")
    return document
