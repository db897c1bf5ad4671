"""Canonical JSON (RFC 8785) and its digests: the bytes that are signed and compared."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import rfc8785

from tombolo.storage.errors import CodedError


class NotCanonical(CodedError):
    code = "TMB-CORE-001"
    cause = "A document is not canonical JSON, or cannot be written as canonical JSON."
    remedy = "Use only text, numbers, booleans, null, lists, and objects whose keys are text; copy signed files unchanged."


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
    """Parse JSON that another party wrote. It must be canonical, so that it can be read in one way only.

    Raises :class:`NotCanonical` if it is too large, is not JSON, or is not in canonical form.
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
