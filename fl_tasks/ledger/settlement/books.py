"""Comparing books in pairs: every two parties compare what they have booked of the artifacts between them, and nothing else."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, fields
from typing import Any

from tombolo.fl_tasks.ledger.settlement.state import BOOK, PAIR, SALT
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.runtime.waiting import PeerAborted, PeerSilent, RunExpired
from tombolo.storage.books import Books
from tombolo.storage.errors import CodedError, blame
from tombolo.storage.ledger.pairs import SALT_BYTES, Line, Matched, joint_salt, lines_with, match, summary

_MORE = 20_000
"""How many lines a peer's book may have more than this party's own book."""
_MOST_KEPT = 100
"""How many lines that only a peer has are kept. Their number is kept in any case."""
_COLUMNS = [field.name for field in fields(Line)]


class BadBook(CodedError):
    code = "TMB-LEDGER-106"
    cause = "A peer's book or salt has a wrong form."
    remedy = (
        "Ask the named party why its book is wrong; this run stays open until then. Install the same version of Tombolo at both "
        "parties before the next run."
    )


@dataclass(frozen=True)
class Reconciled:
    """The summaries of this party's pairs, and the differences between its book and each peer's book.

    A peer that stayed silent is in neither. ``refused`` has the error code of each peer whose salt or book is wrong.
    """

    pairs: list[dict[str, Any]]
    findings: dict[str, Matched]
    refused: dict[str, str]


def reconcile(session: Session, books: Books, forgiving: bool) -> Reconciled:
    """Exchange salts and books with every peer and compare; a replay gives the same result.

    ``forgiving``: a peer that sends nothing until the deadline, or something wrong, is left out for good. Without it, PeerSilent,
    :class:`BadBook` or another error about the message is raised.
    """
    peers = [party for party in session.roles if party != session.me]
    for peer in peers:
        salt = session.state.keep(SALT.of(peer), secrets.token_bytes(SALT_BYTES))
        session.send("pair_salt", peer, salt=salt)
        mine = _own_book(session, books, peer)
        session.send("pair_book", peer, **{name: [getattr(line, name) for line in mine] for name in _COLUMNS})
    pairs, findings = [], {}
    for peer in peers:
        compared = _compared(session, books, peer, forgiving)
        if compared is not None:
            salt, matched = compared
            pairs.append(summary((session.me, peer), salt, matched))
            if matched.ours or matched.theirs:
                findings[peer] = matched
    left_out = {peer: session.state.get(PAIR.of(peer)) or {} for peer in peers}
    refused = {peer: kept["refused"] for peer, kept in left_out.items() if kept.get("refused")}
    return Reconciled(sorted(pairs, key=lambda pair: pair["parties"]), findings, refused)


def _compared(session: Session, books: Books, peer: str, forgiving: bool) -> tuple[bytes, Matched] | None:
    """The joint salt and the comparison with one peer's book; None if this peer is left out."""
    if "refused" in (session.state.get(PAIR.of(peer)) or {}):
        return None
    try:
        with blame(peer):
            theirs, lines = _salt(session, peer), _book(session, peer, len(_own_book(session, books, peer)) + _MORE)
    except CodedError as error:
        if not forgiving or not (isinstance(error, PeerSilent) or _is_wrong(error, peer)):
            raise
        session.state.keep(PAIR.of(peer), {"refused": "" if isinstance(error, PeerSilent) else error.code})
        return None
    salt = joint_salt([session.state[SALT.of(peer)], theirs])
    matched = match(_own_book(session, books, peer), lines)
    kept = session.state.keep(PAIR.of(peer), {"salt": salt.hex(), "unmatched": _unmatched(matched)})
    return None if "refused" in kept else (salt, matched)


def _is_wrong(error: CodedError, peer: str) -> bool:
    """Whether an error says that a peer's message is wrong, and not that the run ends for another reason."""
    return error.party == peer and not error.transient and not isinstance(error, PeerAborted | RunExpired)


def _own_book(session: Session, books: Books, peer: str) -> list[Line]:
    """This party's book with a peer. It is kept at the first read, so that both compare the same even if more is booked later."""
    return session.state.once(BOOK.of(peer), lambda: lines_with(books, session.me, peer, f"{session.stage}."))


def _salt(session: Session, peer: str) -> bytes:
    salt = session.scalar(session.receive("pair_salt", peer), "salt")
    if len(salt) != SALT_BYTES:
        raise BadBook(party=peer)
    return bytes(salt)


def _book(session: Session, peer: str, most: int) -> list[Line]:
    """The lines of a peer's book about this party and the peer. Lines about other parties are refused."""
    table = session.receive("pair_book", peer, most)
    columns = [session.values(table, name).to_pylist() for name in _COLUMNS]
    lines = [Line(*row) for row in zip(*columns, strict=True)]
    for line in lines:
        recipient = {session.me: peer, peer: session.me}.get(line.sender)
        if recipient is None or not line.address.startswith(f"to-{recipient}/"):
            raise BadBook("A line is about other parties.", party=peer)
    if len({line.place for line in lines}) != len(lines):
        raise BadBook("An artifact is booked twice.", party=peer)
    return lines


def _unmatched(matched: Matched) -> dict[str, Any]:
    """The lines that only this party has, the first that only the peer has, and at how many places the books differ."""
    theirs = matched.theirs[:_MOST_KEPT]
    places = {line.place for line in (*matched.ours, *matched.theirs)}
    return {"ours": [asdict(line) for line in matched.ours], "theirs": [asdict(line) for line in theirs], "count": len(places)}
