"""Secure sums of real numbers and of integers, as training and evaluation use them: by the terms' threshold and time, over whoever
is there; and what the aggregator says of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.learning.horizontal.columns import Floats, ForeignStatistics
from tombolo.fl_tasks.learning.horizontal.secagg import (
    Closing,
    aggregate,
    contribute,
    from_words,
    integer_words,
    rostered,
    to_words,
    words_integers,
)
from tombolo.fl_tasks.learning.horizontal.secagg.masking import Integers, Words
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.roles import AGGREGATOR, CLIENT
from tombolo.storage.schema import Disclosed, Message

STATISTIC = Message(
    "statistic",
    AGGREGATOR,
    CLIENT,
    {
        "value": Disclosed(
            "float64", "common encoding", "a column's count, mean, deviation and quantiles over all clients, once per run"
        )
    },
    learns="how many training rows all clients have; count, mean and deviation of every column over them; for trees, and where the "
    "terms ask for quartiles, quantiles of every column; for trees of classes the share of each class",
    step="5",
    limit="sums over at least three clients and the threshold",
)


@dataclass
class Attendance:
    """Whom the aggregator waits for: the survivors of its last sum, all clients before the first."""

    expected: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, session: Session) -> Attendance:
        return cls(list(session.clients))

    def expect_returned(self, session: Session) -> None:
        """Wait again for clients that were missed in the last round, and have meanwhile come to its sum of this part: too late to
        be let in. Who was let in and vanished then is not waited for a second time."""
        if session.round > 1:
            known = {*self.expected, *rostered(session, session.round - 1)}
            gone = [one for one in session.clients if one not in known]
            back = [one for one in gone if session.peek("advertise", one, session.round - 1) is not None]
            self.expected = [one for one in session.clients if one in self.expected or one in back]


def contribute_values(session: Session, values: npt.ArrayLike) -> bool:
    """Put real numbers, shape (n,), into the sum of this round and part; returns whether they are in it."""
    return contribute(session, to_words(values, len(session.enrolled)), _threshold(session))


def contribute_integers(session: Session, values: Integers) -> bool:
    """Put integers, shape (n,), into the sum of this round and part; returns whether they are in it."""
    return contribute(session, integer_words(values, len(session.enrolled)), _threshold(session))


def sum_values(session: Session, count: int, attendance: Attendance) -> Floats:
    """The sum over the survivors, shape (count,)."""
    return from_words(_sum(session, count, attendance))


def sum_integers(session: Session, count: int, attendance: Attendance) -> Integers:
    """The sum of integers over the survivors, exact, shape (count,)."""
    return words_integers(_sum(session, count, attendance))


def survivors(session: Session) -> list[str]:
    """Whom the aggregator has named to this client as those of the sum of this round and part; nobody before it has."""
    table = session.peek("survivors", session.aggregator, session.round)
    return [] if table is None else session.values(table, "client").to_pylist()


def told(session: Session, count: int | None = None) -> Floats:
    """What the aggregator says of sums, shape (count,). Raises :class:`ForeignStatistics`."""
    table = session.receive("statistic", session.aggregator)
    values: Floats = session.values(table, "value").to_numpy()
    if (count is not None and len(values) != count) or not np.isfinite(values).all():
        raise ForeignStatistics(party=session.aggregator)
    return values


def _sum(session: Session, count: int, attendance: Attendance) -> Words:
    horizontal = session.terms.task.horizontal_terms
    assert horizontal is not None
    found = aggregate(session, count, Closing(_threshold(session), horizontal.step_seconds, attendance.expected))
    gone = [one for one in session.clients if one not in found.survivors]
    if gone:
        session.report(sum_without=", ".join(gone))
    attendance.expected = list(found.survivors)
    return found.words


def _threshold(session: Session) -> int:
    assert session.terms.task.horizontal_terms is not None
    return session.terms.task.horizontal_terms.threshold_of(len(session.enrolled))
