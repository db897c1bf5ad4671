"""The limits of questions: enough lenders, the quota of the asker, consents used once, the quota of a person, and the cool-down.

A party that counts enters a batch in its book first, and then decides by the earlier entries. If two batches come at the same time
and only one is allowed, then only one passes. A repeated step of the same run counts once. A refused batch is not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import datetime, timedelta

from tombolo.fl_tasks.protocols.lending_query.books import Asked, Book, books
from tombolo.fl_tasks.protocols.lending_query.errors import (
    AskerQuotaSpent,
    BadTicket,
    ConsentMissing,
    CoolingDown,
    NoIndex,
    PersonQuotaSpent,
    TooFewLenders,
)
from tombolo.fl_tasks.protocols.lending_query.keys import Epoch, Keeping, terms_of
from tombolo.fl_tasks.protocols.lending_query.terms import FEWEST_LENDERS, QueryTerms
from tombolo.fl_tasks.runtime.session import Session

DIGEST = 32
GRACE = timedelta(days=1)
"""Lenders remember the number of questions this much longer than the cool-down: clocks differ, and building an index takes time."""


def open_epoch(keeping: Keeping, run: str, party: str) -> Epoch:
    """The epoch of the index of ``run``, which must be the latest index of this party. Raises NoIndex or TooFewLenders."""
    epochs = keeping.epochs()
    if not epochs or epochs[-1].run != run:
        raise NoIndex(f"Index {run} is not the latest index of this party.", party=party)
    if epochs[-1].lenders < FEWEST_LENDERS:
        raise TooFewLenders(f"There are {epochs[-1].lenders} lenders.", party=party)
    return epochs[-1]


def enough_lenders(parties: Collection[str], session: Session) -> None:
    """Raise :class:`TooFewLenders` unless enough lenders besides the asker have deposits at this party."""
    if len(set(parties) - {session.guest}) < FEWEST_LENDERS:
        raise TooFewLenders(f"There are {len(parties)} lenders.", party=session.me)


def admit(session: Session, keeping: Keeping, about: Epoch, consents: bytes, now: datetime) -> None:
    """The check of a lender: count the questions of the batch for the quota of the asker, and mark the consents as used.

    Raises AskerQuotaSpent, ConsentMissing or BadTicket. A refused batch is not counted.
    """
    query, commitments = terms_of(session), split(consents)
    if len(set(commitments)) != len(commitments) or bytes(DIGEST) in commitments:
        raise ConsentMissing("Two questions have the same commitment, or a commitment is empty.", party=session.guest)
    if not 0 < len(commitments) <= query.batch:
        raise AskerQuotaSpent(f"The batch has {len(commitments)} questions; it may have 1 to {query.batch}.", party=session.guest)
    book = Book(keeping, about.series, about.run)
    earlier = book.enter(Asked.of(session.run, now, commitments), session.guest)
    asked = sum(len(batch.digests) for batch in earlier)
    if asked + len(commitments) > query.asker_quota:
        raise book.refuse(
            session.run, AskerQuotaSpent(f"{asked} of {query.asker_quota} questions were asked before.", party=session.guest)
        )
    others = [batch for other in books(keeping) if other.epoch != about.run for batch in other.entries()]
    if any(not batch.digests.isdisjoint(commitments) for batch in (*earlier, *others)):
        raise book.refuse(session.run, ConsentMissing("A commitment was used in an earlier run.", party=session.guest))


def count_persons(session: Session, keeping: Keeping, about: Epoch, persons: list[bytes], now: datetime) -> None:
    """The check of the arbiter: no person twice in a batch, too often in an epoch, or within the cool-down of an earlier epoch.

    ``persons`` are points under the exponents of all lenders in this series. The books of earlier epochs of this series hold
    points of the same kind. Raises PersonQuotaSpent, CoolingDown or BadTicket. A refused batch is not counted.
    """
    query = terms_of(session)
    if len(set(persons)) != len(persons):
        raise BadTicket("The batch asks twice about the same person.", party=session.guest)
    book = Book(keeping, about.series, about.run)
    earlier = book.enter(Asked.of(session.run, now, persons), session.guest)
    counts = Counter(person for batch in earlier for person in batch.digests)
    if any(counts[person] >= query.person_quota for person in persons):
        raise book.refuse(session.run, PersonQuotaSpent(party=session.guest))
    for other in books(keeping, about.series):
        if other.epoch != about.run and any(
            cooling(batch, query, now) and not batch.digests.isdisjoint(persons) for batch in other.entries()
        ):
            raise book.refuse(session.run, CoolingDown(party=session.guest))


def cooling(asked: Asked, query: QueryTerms, now: datetime, grace: timedelta = timedelta(0)) -> bool:
    """Whether the cool-down of a batch has not passed yet."""
    return asked.at > now - timedelta(hours=query.cooldown_hours) - grace


def forget(keeping: Keeping, query: QueryTerms, now: datetime) -> None:
    """Delete the books of earlier epochs in which the cool-down has passed for every batch."""
    epochs = keeping.epochs()
    for book in books(keeping):
        if epochs and book.epoch != epochs[-1].run and not any(cooling(batch, query, now, GRACE) for batch in book.entries()):
            book.delete()


def split(digests: bytes) -> list[bytes]:
    """Cut a buffer into digests of 32 bytes."""
    return [digests[at : at + DIGEST] for at in range(0, len(digests), DIGEST)]
