"""Compares the books of two parties: which artifacts both booked in the same way, and which not.

Two parties show each other only the artifacts between them. The other parties see a summary: the number of artifacts and bytes, and
the Merkle root over leaves that are salted with a secret of the two.
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
    """One artifact, as its sender or its receiver booked it; ``kinds`` are the kinds of its columns, joined with commas."""

    sender: str
    address: str
    message: str
    sha256: str
    size: int
    rows: int
    kinds: str

    @property
    def place(self) -> tuple[str, str]:
        """Sender and address; each such place is booked once only."""
        return self.sender, self.address


def lines_with(books: Books, me: str, peer: str, settling: str) -> list[Line]:
    """The artifacts between ``me`` and ``peer`` that ``me`` booked, without the steps of the settlement (named ``settling...``)."""
    lines = []
    for book, sender in (("sent", me), ("received", peer)):
        for entry in books.entries(book):
            step = entry.address.split("/")[-2]
            if entry.peer == peer and not step.startswith(settling):
                kinds = ",".join(entry.kinds)
                lines.append(Line(sender, entry.address, entry.message, entry.sha256, entry.size, entry.rows, kinds))
    return sorted(lines)


@dataclass(frozen=True)
class Matched:
    """``lines`` that both booked in the same way, and those of each side that the other did not book, or booked differently."""

    lines: tuple[Line, ...]
    ours: tuple[Line, ...]
    theirs: tuple[Line, ...]


def match(ours: Iterable[Line], theirs: Iterable[Line]) -> Matched:
    """Compare two books. A line is matched only if every field of it is the same in both."""
    mine, other = set(ours), set(theirs)
    return Matched(tuple(sorted(mine & other)), tuple(sorted(mine - other)), tuple(sorted(other - mine)))


def joint_salt(salts: Iterable[bytes]) -> bytes:
    """The salt of two parties. Neither of them can choose it."""
    return hashlib.sha256(b"tombolo pair salt\0" + b"".join(sorted(salts))).digest()


def leaf(salt: bytes, line: Line) -> bytes:
    """The leaf hash of a line. Without the salt of the pair, nobody can learn the line from it."""
    own = hmac.new(salt, f"{line.sender}/{line.address}".encode(), hashlib.sha256).digest()
    return merkle.leaf(own + canonical(asdict(line)))


def summary(pair: Iterable[str], salt: bytes, matched: Matched) -> dict[str, Any]:
    """What all parties may know about a pair. Both sides compute the same."""
    odd = {line.place for line in (*matched.ours, *matched.theirs)}
    return {
        "parties": sorted(pair),
        "artifacts": len(matched.lines),
        "bytes": sum(line.size for line in matched.lines),
        "root": merkle.root([leaf(salt, line) for line in matched.lines]).hex(),
        "unmatched": len(odd),
    }
