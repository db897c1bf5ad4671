"""Merkle trees with SHA-256, as in RFC 6962: leaves and nodes are hashed with different prefixes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from tombolo.storage.errors import CodedError


class BadProof(CodedError):
    code = "TMB-LEDGER-001"
    cause = "An inclusion proof does not lead to the root."
    remedy = "The entry was changed, or the proof belongs to another tree. Ask the party for a new export."


def leaf(data: bytes) -> bytes:
    """The leaf hash of one item."""
    return hashlib.sha256(b"\0" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The root of leaf hashes; without leaves, the hash of zero bytes."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = list(leaves)
    while len(level) > 1:
        level = _above(level)
    return level[0]


def proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The inclusion proof of leaf ``index``: the neighbour hashes on the way to the root, from the bottom up."""
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
    """Raise :class:`BadProof` unless ``item`` is the hash of leaf ``index`` of ``count`` leaves with the root ``expected``."""
    if not 0 <= index < count:
        raise BadProof(f"There is no leaf {index} in a tree of {count} leaves.")
    node, rest, width = item, list(path), count
    while width > 1:
        beside = index ^ 1
        if beside < width:
            if not rest:
                raise BadProof("The proof is too short.")
            neighbour = rest.pop(0)
            node = _node(neighbour, node) if index & 1 else _node(node, neighbour)
        index, width = index // 2, (width + 1) // 2
    if rest or node != expected:
        raise BadProof()


def _above(level: list[bytes]) -> list[bytes]:
    """The next level: two neighbours become one node; a last node without a neighbour moves up unchanged (as in RFC 6962)."""
    pairs = [_node(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
    return [*pairs, level[-1]] if len(level) & 1 else pairs
