"""What limits questions: enough lenders, the asker's quota, consents used once, a person's quota, and the cool-down.

Every count is a note by run: whoever repeats a step of the same run counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import datetime, timedelta

from contracts.query import FEWEST_LENDERS, QueryTerms
from fl_tasks.lending.errors import (
    AskerQuotaSpent,
    BadTicket,
    ConsentMissing,
    CoolingDown,
    NoIndex,
    PersonQuotaSpent,
    TooFewLenders,
)
from fl_tasks.lending.keys import Epoch, Keeping
from fl_tasks.session import Session
from storage.canonical import parse

_DIGEST = 32


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


def admit(session: Session, keeping: Keeping, epoch: str, questions: int, consents: bytes) -> None:
    """A lender's guard: count the batch against the asker's quota, and its consents as used.

    Raises AskerQuotaSpent, ConsentMissing or BadTicket; nothing is counted of a batch that is refused.
    """
    query, each = _terms(session), _split(consents)
    if not 0 < questions == len(each):
        raise BadTicket(f"{questions} questions with {len(each)} consents.", party=session.guest)
    asked = keeping.notes(f"asked/{epoch}/")
    before = sum(one["questions"] for run, one in asked.items() if run != session.run)
    if questions > query.batch or before + questions > query.asker_quota:
        raise AskerQuotaSpent(f"{before} of {query.asker_quota} are asked; a batch has {query.batch} at most.", party=session.guest)
    if len(set(each)) != len(each) or bytes(_DIGEST) in each:
        raise ConsentMissing("Two questions share one.", party=session.guest)
    if not set(each).isdisjoint(_of_other_runs(session, keeping, "consents/")):
        raise ConsentMissing("One was used in an earlier run.", party=session.guest)
    keeping.area.keep(f"consents/{epoch}/{session.run}", consents)
    keeping.note(f"asked/{epoch}/{session.run}", questions=questions)


def count_persons(session: Session, keeping: Keeping, epoch: str, persons: list[bytes], now: datetime) -> None:
    """The arbiter's guard: nobody twice in a batch, too often in an epoch, or soon after an earlier epoch's question.

    Raises PersonQuotaSpent, CoolingDown or BadTicket; nothing is counted of a batch that is refused.
    """
    query = _terms(session)
    if len(set(persons)) != len(persons):
        raise BadTicket("A person is asked about twice in one batch.", party=session.guest)
    counts = Counter(_of_other_runs(session, keeping, f"persons/{epoch}/"))
    if any(counts[one] >= query.person_quota for one in persons):
        raise PersonQuotaSpent(party=session.guest)
    for name, at in _earlier_epochs(keeping, epoch).items():
        if at > now - timedelta(hours=query.cooldown_hours) and not set(persons).isdisjoint(_split(keeping.area.get(name) or b"")):
            raise CoolingDown(party=session.guest)
    keeping.note(f"asked/{epoch}/{session.run}", questions=len(persons), at=now.isoformat())
    keeping.area.keep(f"persons/{epoch}/{session.run}", b"".join(persons))


def forget(keeping: Keeping, query: QueryTerms, now: datetime) -> int:
    """Delete the log of persons where it has outlived its epoch and the cool-down; returns of how many runs."""
    epochs = keeping.epochs()
    doomed = [
        name
        for name, at in _earlier_epochs(keeping, epochs[-1].run if epochs else "").items()
        if at <= now - timedelta(hours=query.cooldown_hours)
    ]
    for name in doomed:
        keeping.area.delete(name)
    return len(doomed)


def _earlier_epochs(keeping: Keeping, epoch: str) -> dict[str, datetime]:
    """Logs of persons of other epochs than this one, with when they were asked about."""
    logs = [name for name in keeping.area.names("persons/") if not name.startswith(f"persons/{epoch}/")]
    notes = {name: keeping.area.get(name.replace("persons/", "asked/", 1)) for name in logs}
    return {name: datetime.fromisoformat(parse(note)["at"]) for name, note in notes.items() if note is not None}


def _of_other_runs(session: Session, keeping: Keeping, prefix: str) -> list[bytes]:
    """All digests that runs but this one have noted."""
    names = [name for name in keeping.area.names(prefix) if not name.endswith(f"/{session.run}")]
    return [one for name in names for one in _split(keeping.area.get(name) or b"")]


def _split(digests: bytes) -> list[bytes]:
    return [digests[at : at + _DIGEST] for at in range(0, len(digests), _DIGEST)]


def expected(session: Session) -> int:
    """For how many questions the arbiter makes randomness before it knows their number: what most batches have."""
    return min(16, _terms(session).batch)


def _terms(session: Session) -> QueryTerms:
    query = session.terms.task.query
    assert query is not None
    return query
