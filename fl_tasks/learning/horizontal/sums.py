"""Secure sums of real numbers and of integers for training and evaluation, over the clients that are in time, with the terms'
threshold and time; and the results that the aggregator sends."""

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
from tombolo.storage.meters import NUMBERS
from tombolo.storage.roles import AGGREGATOR, CLIENT
from tombolo.storage.schema import Disclosed, Message

STATISTIC = Message(
    "statistic",
    AGGREGATOR,
    CLIENT,
    {
        "value": Disclosed(
            "float64", "common encoding", "a column's count, mean, deviation and quantiles over all clients, once per run", NUMBERS
        )
    },
    learns="how many training rows all clients have; count, mean and deviation of every column over them; for trees, and where the "
    "terms ask for quartiles, quantiles of every column; for trees of classes the share of each class",
    step="5",
    limit="sums over at least three clients and the threshold",
    rows=None,
)


@dataclass
class Attendance:
    """The clients that the aggregator waits for: all before the first sum, later the survivors of the last sum."""

    expected: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, session: Session) -> Attendance:
        """All clients are expected."""
        return cls(list(session.clients))

    def expect_returned(self, session: Session) -> None:
        """Wait again for clients that came too late to the last round's sum of this part. A client that was in time there, and then
        dropped out, is not waited for again."""
        if session.round > 1:
            known = {*self.expected, *rostered(session, session.round - 1)}
            gone = [client for client in session.clients if client not in known]
            back = [client for client in gone if session.peek("advertise", client, session.round - 1) is not None]
            self.expected = [client for client in session.clients if client in self.expected or client in back]


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
    """The survivors of the sum of this round and part, as the aggregator named them to this client; empty before that."""
    table = session.peek("survivors", session.aggregator, session.round)
    return [] if table is None else session.values(table, "client").to_pylist()


def told(session: Session, count: int, fewer: bool = False) -> Floats:
    """The results of sums that the aggregator sent, shape (count,), or ``fewer``. Raises :class:`ForeignStatistics`."""
    table = session.receive("statistic", session.aggregator, count)
    values: Floats = session.values(table, "value").to_numpy()
    if (len(values) != count and not fewer) or not np.isfinite(values).all():
        raise ForeignStatistics(party=session.aggregator)
    return values


def _sum(session: Session, count: int, attendance: Attendance) -> Words:
    horizontal = session.terms.task.horizontal_terms
    assert horizontal is not None
    result = aggregate(session, count, Closing(_threshold(session), horizontal.step_seconds, attendance.expected))
    gone = [client for client in session.clients if client not in result.survivors]
    if gone:
        session.report(sum_without=", ".join(gone))
    attendance.expected = list(result.survivors)
    return result.words


def _threshold(session: Session) -> int:
    assert session.terms.task.horizontal_terms is not None
    return session.terms.task.horizontal_terms.threshold_of(len(session.enrolled))
