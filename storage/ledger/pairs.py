"""Reconciliation of two parties' books: what the sender booked and the receiver booked alike, and what not.

Two parties show each other only what concerns both. Everybody else sees a summary: how many artifacts, how many bytes, and the
Merkle root over leaves that are salted with a secret of the two.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from tombolo.storage.books import Books
from tombolo.storage.canonical import canonical
from tombolo.storage.ledger import merkle

SALT_BYTES = 32


@dataclass(frozen=True, order=True)
class Line:
    """One artifact as its sender or its receiver booked it; ``kinds`` are the columns' protections, joined with commas."""

    sender: str
    address: str
    message: str
    sha256: str
    size: int
    rows: int
    kinds: str

    @property
    def place(self) -> tuple[str, str]:
        """What can be booked only once: sender and address."""
        return self.sender, self.address


def lines_with(books: Books, me: str, peer: str, settling: str) -> list[Line]:
    """What ``me`` booked of the traffic with ``peer``, without the settlement's own steps (which begin with ``settling``)."""
    found = []
    for book, sender in (("sent", me), ("received", peer)):
        for entry in books.entries(book):
            step = entry.address.split("/")[-2]
            if entry.peer == peer and not step.startswith(settling):
                kinds = ",".join(entry.kinds)
                found.append(Line(sender, entry.address, entry.message, entry.sha256, entry.size, entry.rows, kinds))
    return sorted(found)


@dataclass(frozen=True)
class Matched:
    """Lines that both booked alike, and those that one side did not book or booked otherwise (each side's own)."""

    lines: tuple[Line, ...]
    ours: tuple[Line, ...]
    theirs: tuple[Line, ...]


def match(ours: Iterable[Line], theirs: Iterable[Line]) -> Matched:
    """Compare two books; a line counts only if both have it in every detail."""
    mine, other = set(ours), set(theirs)
    return Matched(tuple(sorted(mine & other)), tuple(sorted(mine - other)), tuple(sorted(other - mine)))


def joint_salt(salts: Iterable[bytes]) -> bytes:
    """The two parties' salt: neither can choose it."""
    return hashlib.sha256(b"tombolo pair salt\0" + b"".join(sorted(salts))).digest()


def leaf(salt: bytes, line: Line) -> bytes:
    """A line's leaf hash, which tells nothing to those who do not know the pair's salt."""
    own = hmac.new(salt, f"{line.sender}/{line.address}".encode(), hashlib.sha256).digest()
    return merkle.leaf(own + canonical(asdict(line)))


def summary(pair: Iterable[str], salt: bytes, matched: Matched) -> dict[str, Any]:
    """What everybody may know of a pair: the same from both sides."""
    odd = {line.place for line in (*matched.ours, *matched.theirs)}
    return {
        "parties": sorted(pair),
        "artifacts": len(matched.lines),
        "bytes": sum(line.size for line in matched.lines),
        "root": merkle.root([leaf(salt, line) for line in matched.lines]).hex(),
        "unmatched": len(odd),
    }
