"""Merkle trees over SHA-256 in the shape of RFC 6962: leaves and nodes are hashed in different domains."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from tombolo.storage.errors import CodedError


class BadProof(CodedError):
    code = "TMB-LEDGER-001"
    cause = "An inclusion proof does not lead to the root."
    remedy = "The entry is not what was recorded, or the proof belongs to another tree; ask for a new export."


def leaf(data: bytes) -> bytes:
    """Hash of one recorded item."""
    return hashlib.sha256(b"\0" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Root over leaf hashes; that of no leaves is the hash of nothing."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = list(leaves)
    while len(level) > 1:
        level = _above(level)
    return level[0]


def proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes beside the path from leaf ``index`` to the root, lowest first."""
    if not 0 <= index < len(leaves):
        raise IndexError(index)
    path, level = [], list(leaves)
    while len(level) > 1:
        beside = index ^ 1
        if beside < len(level):
            path.append(level[beside])
        level, index = _above(level), index // 2
    return path


def verify_proof(item: bytes, index: int, count: int, path: Sequence[bytes], expected: bytes) -> None:
    """Raise :class:`BadProof` unless leaf hash ``item`` is number ``index`` of ``count`` under root ``expected``."""
    if not 0 <= index < count:
        raise BadProof(f"There is no leaf {index} among {count}.")
    found, rest, width = item, list(path), count
    while width > 1:
        beside = index ^ 1
        if beside < width:
            if not rest:
                raise BadProof("It is too short.")
            other = rest.pop(0)
            found = _node(other, found) if index & 1 else _node(found, other)
        index, width = index // 2, (width + 1) // 2
    if rest or found != expected:
        raise BadProof()


def _above(level: list[bytes]) -> list[bytes]:
    """The next level: pairs are joined, a last one without a partner moves up as it is (as in RFC 6962)."""
    pairs = [_node(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
    return [*pairs, level[-1]] if len(level) & 1 else pairs
