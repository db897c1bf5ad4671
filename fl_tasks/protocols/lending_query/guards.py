"""What limits questions: enough lenders, the asker's quota, consents used once, a person's quota, and the cool-down.

Whoever counts enters a batch in its book first and decides then, by what stands before it: two batches at a time never pass both
where only one may, and whoever repeats a step of the same run counts once. A refused batch is not counted.
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
"""How much longer than the cool-down lenders remember how many questions there were: clocks differ, and an index takes its time."""


def open_epoch(keeping: Keeping, run: str, party: str) -> Epoch:
    """The epoch that is asked: a party's latest, unless it has been succeeded. Raises NoIndex or TooFewLenders."""
    epochs = keeping.epochs()
    if not epochs or epochs[-1].run != run:
        raise NoIndex(f"Index {run} is not the latest here.", party=party)
    if epochs[-1].lenders < FEWEST_LENDERS:
        raise TooFewLenders(f"There are {epochs[-1].lenders}.", party=party)
    return epochs[-1]


def enough_lenders(parties: Collection[str], session: Session) -> None:
    """Raise :class:`TooFewLenders` unless enough lenders besides the asker have deposits here."""
    if len(set(parties) - {session.guest}) < FEWEST_LENDERS:
        raise TooFewLenders(f"There are {len(parties)}.", party=session.me)


def admit(session: Session, keeping: Keeping, about: Epoch, consents: bytes, now: datetime) -> None:
    """A lender's guard: count the batch against the asker's quota, and its consents as used.

    Raises AskerQuotaSpent, ConsentMissing or BadTicket; nothing is counted of a batch that is refused.
    """
    query, each = terms_of(session), split(consents)
    if len(set(each)) != len(each) or bytes(DIGEST) in each:
        raise ConsentMissing("Two questions share one.", party=session.guest)
    if not 0 < len(each) <= query.batch:
        raise AskerQuotaSpent(f"{len(each)} questions; a batch has {query.batch} at most.", party=session.guest)
    book = Book(keeping, about.series, about.run)
    earlier = book.enter(Asked.of(session.run, now, each), session.guest)
    asked = sum(len(one.digests) for one in earlier)
    if asked + len(each) > query.asker_quota:
        raise book.refuse(session.run, AskerQuotaSpent(f"{asked} of {query.asker_quota} are asked.", party=session.guest))
    others = [one for other in books(keeping) if other.epoch != about.run for one in other.entries()]
    if any(not one.digests.isdisjoint(each) for one in (*earlier, *others)):
        raise book.refuse(session.run, ConsentMissing("One was used in an earlier run.", party=session.guest))


def count_persons(session: Session, keeping: Keeping, about: Epoch, persons: list[bytes], now: datetime) -> None:
    """The arbiter's guard: nobody twice in a batch, too often in an epoch, or soon after an earlier epoch's question.

    ``persons`` are points under all lenders' exponents of this series; so are those of earlier epochs that an index took over.
    Raises PersonQuotaSpent, CoolingDown or BadTicket; nothing is counted of a batch that is refused.
    """
    query = terms_of(session)
    if len(set(persons)) != len(persons):
        raise BadTicket("A person is asked about twice in one batch.", party=session.guest)
    book = Book(keeping, about.series, about.run)
    earlier = book.enter(Asked.of(session.run, now, persons), session.guest)
    counts = Counter(person for one in earlier for person in one.digests)
    if any(counts[one] >= query.person_quota for one in persons):
        raise book.refuse(session.run, PersonQuotaSpent(party=session.guest))
    for other in books(keeping, about.series):
        if other.epoch != about.run and any(
            cooling(one, query, now) and not one.digests.isdisjoint(persons) for one in other.entries()
        ):
            raise book.refuse(session.run, CoolingDown(party=session.guest))


def cooling(asked: Asked, query: QueryTerms, now: datetime, grace: timedelta = timedelta(0)) -> bool:
    """Whether the agreed time since a question has not passed."""
    return asked.at > now - timedelta(hours=query.cooldown_hours) - grace


def forget(keeping: Keeping, query: QueryTerms, now: datetime) -> None:
    """Delete the books of earlier epochs that have outlived the cool-down."""
    epochs = keeping.epochs()
    for book in books(keeping):
        if epochs and book.epoch != epochs[-1].run and not any(cooling(one, query, now, GRACE) for one in book.entries()):
            book.delete()


def split(digests: bytes) -> list[bytes]:
    """A flat buffer as single digests."""
    return [digests[at : at + DIGEST] for at in range(0, len(digests), DIGEST)]
