"""Taking over into a new series what was asked lately, so that the arbiter knows these people, and nobody else, again.

The arbiter holds H(id)^(k_1 ... k_L) of those who were asked about. It sends them, under an exponent for this once, around the
ring: each lender takes its old exponent off and puts its new one on. A lender counts: there must be no more of them than questions
that it let pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tombolo.fl_tasks.crypto import ristretto
from tombolo.fl_tasks.protocols.lending_query.books import Asked, Book, books
from tombolo.fl_tasks.protocols.lending_query.deposits import Deposits
from tombolo.fl_tasks.protocols.lending_query.errors import BadDeposit, CoolingDown
from tombolo.fl_tasks.protocols.lending_query.guards import GRACE, cooling
from tombolo.fl_tasks.protocols.lending_query.keys import Keeping, terms_of
from tombolo.fl_tasks.protocols.lending_query.state import COOLING
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import blame


@dataclass(frozen=True)
class Cooling:
    """What the arbiter takes over: the old series, its batches by epoch, their people in the order in which they
    were sent, and the blind."""

    series: str
    batches: list[tuple[str, Asked]]
    people: list[bytes]
    blind: bytes


def begin(session: Session, keeping: Keeping, now: datetime) -> Cooling:
    """The arbiter's first step. Raises :class:`CoolingDown` where a lender has left, without whom they cannot be taken over."""
    epochs, query = keeping.epochs(), terms_of(session)
    old = epochs[-1].series if epochs else ""
    found = [[epoch, one.to_bytes().hex()] for epoch, one in _asked(keeping, old) if cooling(one, query, now)]
    kept = session.state.keep(COOLING, found)
    batches = [(epoch, Asked.from_bytes(bytes.fromhex(one))) for epoch, one in kept]
    people = sorted({person for _, one in batches for person in one.digests})
    if people and not set(Deposits(keeping, old).parties()) <= set(session.hosts):
        raise CoolingDown("A lender has left since; an index with new keys waits until then.", party=session.me)
    stream = session.prf("cooling").stream()
    blind = ristretto.random_scalar(stream)
    people = [people[at] for at in stream.permutation(len(people))]
    points = ristretto.exponentiate(b"".join(people), blind, session.threads)
    session.send("asked_before", session.hosts[0], point=ristretto.points_to_arrow(points), series=[old] * len(people))
    return Cooling(old, batches, people, blind)


def _asked(keeping: Keeping, series: str) -> list[tuple[str, Asked]]:
    """Batches of one series, with their epochs."""
    return [(book.epoch, one) for book in books(keeping, series) for one in book.entries()] if series else []


def lender(session: Session, keeping: Keeping, series: str, now: datetime) -> None:
    """A lender's step. Raises :class:`BadDeposit` where there are more than it has let pass."""
    lenders, query = session.hosts, terms_of(session)
    at = lenders.index(session.me)
    before = lenders[at - 1] if at else session.arbiter
    assert before is not None and session.arbiter is not None
    table = session.receive("asked_before", before)
    with blame(before):
        points = ristretto.points_from_arrow(session.values(table, "point"), session.threads)
    named = session.values(table, "series").to_pylist()
    count = len(points) // ristretto.POINT_BYTES
    admitted = sum(len(one.digests) for book in books(keeping) for one in book.entries() if cooling(one, query, now, GRACE))
    old = keeping.earlier_exponent(named[0]) if named else None
    newcomer = not keeping.epochs()
    if len(set(named)) > 1 or (named and not newcomer and (count > admitted or old is None)):
        raise BadDeposit(f"{count} questions are said to cool down, {admitted} were let pass.", party=session.arbiter)
    if old is not None:
        points = ristretto.exponentiate(points, ristretto.invert(old), session.threads)
    points = ristretto.exponentiate(points, keeping.exponent(series), session.threads)
    onwards = lenders[at + 1] if at + 1 < len(lenders) else session.arbiter
    session.send("asked_before", onwards, point=ristretto.points_to_arrow(points), series=named)


def finish(session: Session, keeping: Keeping, series: str, taken: Cooling, now: datetime) -> None:
    """The arbiter's last step: its books of these epochs, in points of the new series.

    Raises :class:`CoolingDown` where more was asked in the meantime.
    """
    last = session.hosts[-1]
    table = session.receive("asked_before", last)
    with blame(last):
        points = ristretto.points_from_arrow(session.values(table, "point"), session.threads)
    bare = ristretto.split(ristretto.exponentiate(points, ristretto.invert(taken.blind), session.threads))
    if len(bare) != len(taken.people):
        raise BadDeposit(f"{len(bare)} people came back of {len(taken.people)}.", party=last)
    known, query = set(taken.batches), terms_of(session)
    if any(each not in known and cooling(each[1], query, now) for each in _asked(keeping, taken.series)):
        raise CoolingDown("Questions were asked while the index was made; make it again.", party=session.me)
    after = dict(zip(taken.people, bare, strict=True))
    for epoch, one in taken.batches:
        Book(keeping, series, epoch).copy(Asked.of(one.run, one.at, [after[person] for person in one.digests]))
