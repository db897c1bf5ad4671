"""Take recent questions over into a new series, so that the arbiter recognises these people again, and no other people.

The arbiter holds H(id)^(k_1 ... k_L) of every person who was asked about. It blinds these points with a one-time exponent and sends
them around the ring of lenders: each lender removes its old exponent and applies its new one. A lender checks the number of
points: there must not be more points than questions that it admitted.
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
from tombolo.fl_tasks.protocols.lending_query.terms import MOST_RECENT
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import blame


@dataclass(frozen=True)
class Cooling:
    """What the arbiter takes over: the old series, its batches by epoch, the points of their people in the order in which the
    arbiter sends them, and the blinding exponent."""

    series: str
    batches: list[tuple[str, Asked]]
    people: list[bytes]
    blind: bytes


def begin(session: Session, keeping: Keeping, now: datetime) -> Cooling:
    """The arbiter's first step. Raises :class:`CoolingDown` if a lender of the old series has left: its exponent is needed here."""
    epochs, query = keeping.epochs(), terms_of(session)
    old = epochs[-1].series if epochs else ""
    recent = [[epoch, asked.to_bytes().hex()] for epoch, asked in _asked(keeping, old) if cooling(asked, query, now)]
    kept = session.state.keep(COOLING, recent)
    batches = [(epoch, Asked.from_bytes(bytes.fromhex(entry))) for epoch, entry in kept]
    people = sorted({person for _, asked in batches for person in asked.digests})
    if people and not set(Deposits(keeping, old).parties()) <= set(session.hosts):
        raise CoolingDown(
            "A lender has left. An index with new keys can be built when query.cooldown_hours have passed.", party=session.me
        )
    stream = session.prf("cooling").stream()
    blind = ristretto.random_scalar(stream)
    people = [people[at] for at in stream.permutation(len(people))]
    points = ristretto.exponentiate(b"".join(people), blind, session.threads)
    session.send("asked_before", session.hosts[0], point=ristretto.points_to_arrow(points), series=[old] * len(people))
    return Cooling(old, batches, people, blind)


def _asked(keeping: Keeping, series: str) -> list[tuple[str, Asked]]:
    """All batches of one series, with their epochs."""
    return [(book.epoch, asked) for book in books(keeping, series) for asked in book.entries()] if series else []


def lender(session: Session, keeping: Keeping, series: str, now: datetime) -> None:
    """A lender's step. Raises :class:`BadDeposit` if there are more points than questions that this lender admitted."""
    lenders, query = session.hosts, terms_of(session)
    at = lenders.index(session.me)
    before = lenders[at - 1] if at else session.arbiter
    assert before is not None and session.arbiter is not None
    table = session.receive("asked_before", before, MOST_RECENT)
    with blame(before):
        points = ristretto.points_from_arrow(session.values(table, "point"), session.threads)
    named = session.values(table, "series").to_pylist()
    count = len(points) // ristretto.POINT_BYTES
    admitted = sum(len(asked.digests) for book in books(keeping) for asked in book.entries() if cooling(asked, query, now, GRACE))
    old = keeping.earlier_exponent(named[0]) if named else None
    newcomer = not keeping.epochs()
    if len(set(named)) > 1 or (named and not newcomer and (count > admitted or old is None)):
        raise BadDeposit(f"The arbiter sends {count} recent questions, but this lender admitted {admitted}.", party=session.arbiter)
    if old is not None:
        points = ristretto.exponentiate(points, ristretto.invert(old), session.threads)
    points = ristretto.exponentiate(points, keeping.exponent(series), session.threads)
    after = lenders[at + 1] if at + 1 < len(lenders) else session.arbiter
    session.send("asked_before", after, point=ristretto.points_to_arrow(points), series=named)


def finish(session: Session, keeping: Keeping, series: str, taken: Cooling, now: datetime) -> None:
    """The arbiter's last step: write the books of these epochs again, with points of the new series.

    Raises :class:`CoolingDown` if more questions were asked in the meantime.
    """
    last = session.hosts[-1]
    table = session.receive("asked_before", last, len(taken.people))
    with blame(last):
        points = ristretto.points_from_arrow(session.values(table, "point"), session.threads)
    unblinded = ristretto.split(ristretto.exponentiate(points, ristretto.invert(taken.blind), session.threads))
    if len(unblinded) != len(taken.people):
        raise BadDeposit(f"{len(taken.people)} points were sent, but {len(unblinded)} came back.", party=last)
    known, query = set(taken.batches), terms_of(session)
    if any(batch not in known and cooling(batch[1], query, now) for batch in _asked(keeping, taken.series)):
        raise CoolingDown("Questions were asked while the index was built. Build it again, without waiting.", party=session.me)
    renewed = dict(zip(taken.people, unblinded, strict=True))
    for epoch, asked in taken.batches:
        Book(keeping, series, epoch).copy(Asked.of(asked.run, asked.at, [renewed[person] for person in asked.digests]))
