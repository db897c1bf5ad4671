"""Secure sums of real numbers, as training and evaluation use them: by the terms' threshold and time, over whoever is there."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy.typing as npt

from fl_tasks.horizontal.columns import Floats
from fl_tasks.horizontal.secagg import Closing, aggregate, contribute, from_words, to_words
from fl_tasks.session import Session


@dataclass
class Attendance:
    """Whom the aggregator waits for: the survivors of its last sum, all clients before the first."""

    expected: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, session: Session) -> Attendance:
        return cls(list(session.clients))

    def expect_returned(self, session: Session) -> None:
        """Wait again for clients that were missed in the last round, and have meanwhile come to it."""
        if session.round > 1:
            gone = [one for one in session.clients if one not in self.expected]
            back = [one for one in gone if session.peek("advertise", one, session.round - 1) is not None]
            self.expected = [one for one in session.clients if one in self.expected or one in back]


def contribute_values(session: Session, values: npt.ArrayLike) -> bool:
    """Put real numbers, shape (n,), into the sum of this round and part; returns whether they are in it."""
    return contribute(session, to_words(values, len(session.enrolled)), _threshold(session))


def sum_values(session: Session, count: int, attendance: Attendance) -> Floats:
    """The sum over the survivors, shape (count,)."""
    horizontal = session.terms.task.horizontal
    assert horizontal is not None
    found = aggregate(session, count, Closing(_threshold(session), horizontal.step_seconds, attendance.expected))
    gone = [one for one in session.clients if one not in found.survivors]
    if gone:
        session.report(sum_without=", ".join(gone))
    attendance.expected = list(found.survivors)
    return from_words(found.words)


def _threshold(session: Session) -> int:
    assert session.terms.task.horizontal is not None
    return session.terms.task.horizontal.threshold_of(len(session.enrolled))
