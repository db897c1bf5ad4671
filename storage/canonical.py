"""Canonical JSON (RFC 8785) and its digests: the bytes that are signed and compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
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


_MOST_LEVELS = 64


def parse(data: bytes, limit: int = 1 << 20) -> Any:
    """Parse JSON that another party wrote. It must be canonical, so that it can be read in one way only.

    Raises :class:`NotCanonical` if it is too large or too deep, is not JSON, or is not in canonical form.
    """
    if len(data) > limit:
        raise NotCanonical(f"The document has {len(data)} bytes; at most {limit} are allowed.")
    try:
        document = json.loads(data)
        _require_flat(document)
        again = rfc8785.dumps(document)
    except (ValueError, RecursionError, rfc8785.CanonicalizationError):
        raise NotCanonical("The document is not JSON.") from None
    if again != data:
        raise NotCanonical("The document is not in canonical form.")
    return document


def _require_flat(document: Any) -> None:
    """Raise ValueError for a document that is nested more deeply than other programs can write it again."""
    level = [document]
    for _ in range(_MOST_LEVELS):
        level = [one for outer in level if isinstance(outer, dict | list) for one in _inside(outer)]
    if level:
        raise ValueError("nested too deeply")


def _inside(outer: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return outer.values() if isinstance(outer, dict) else outer
