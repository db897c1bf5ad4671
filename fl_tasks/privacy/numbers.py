"""How many numbers about people's secrets may leave: the rule, and what an engine declares for it (docs/what-adds-up.md).

A number that is linear in somebody's values, one per row, with weights that the recipients know or may know, is an equation about
these values. Only independent equations count, so what counts is the rank of the weights. All recipients are one coalition. What is
not linear (a loss, the length of a step) is no such equation and has a meter of its own, and so has what is sent row by row.

The constants were measured with independent columns and a recipient who solves the equations by least squares with the class share
as prior (``benchmarks/labels_by_equations.py``): one number in rows / 128 at p = 1/2 gives label AUC of about 0.55. The rarer a
class is, the more rows a number needs, because sparse labels are also found by linear programming.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from tombolo.agreements.parameters import Parameters
from tombolo.agreements.protocol import TaskSection
from tombolo.storage.roles import HOLDERS

S = TypeVar("S", bound=TaskSection)

ROWS_PER_NUMBER = 32
"""Rows per number about labels, times p (1 - p): 128 at p = 1/2, 187 at 0.22, 356 at 0.1."""
ROWS_PER_SUM = 16
"""Rows per number about one column."""
ENTROPY_SHARE = 0.25
"""The part of the entropy of a group's labels that all numbers about them may have as bits."""
FEATURE_BITS = 24
"""Bits of a weight; a sum over n rows has log2(n) / 2 more that vary."""
EVERY_CLIENT = "every client"
"""The owner of rows that are uncovered only as sums over clients."""


@dataclass(frozen=True)
class Shape:
    """What a party knows of a training before its first round.

    ``columns`` are the encoded columns by data party, the guest's with the intercept if it has one (the inputs of a network have
    none). ``rows`` are the training rows, ``rounds`` the most that the run may have, ``params`` its parameters, and ``sections``
    the protocol's own sections of the terms.
    """

    roles: Mapping[str, str]
    columns: Mapping[str, int]
    rows: int
    rounds: int
    params: Parameters
    sections: tuple[TaskSection, ...] = ()

    def having(self, *roles: str) -> tuple[str, ...]:
        """The parties with one of these roles, in the order of the agreement."""
        return tuple(party for party, role in self.roles.items() if role in roles)

    @property
    def holders(self) -> tuple[str, ...]:
        """The parties with columns."""
        return self.having(*HOLDERS)

    def columns_of(self, parties: tuple[str, ...]) -> int:
        """The columns of these parties together."""
        return sum(self.columns[party] for party in parties)

    def section(self, model: type[S]) -> S:
        """The section of this class. Raises LookupError if there is none."""
        for section in self.sections:
            if isinstance(section, model):
                return section
        raise LookupError(f"there is no {model.__name__}")


@dataclass(frozen=True)
class Numbers:
    """How many independent numbers the recipients ``to`` get about one kind of secret of ``owner``, over the rows of one group.

    About ``columns``, the numbers are about one column, as if the recipients knew all others and the weights of the model. They are
    the rank of the weights in every group by itself. ``rows`` are those of the smallest group: a batch, or all rows.

    ``lasting`` numbers are the same in every run on the same rows, whatever its other parameters are; such numbers cost once.
    Numbers that are not ``limited`` are counted without a limit, because the recipients do not know the weights: another guard
    limits them.
    """

    about: Literal["labels", "columns"]
    owner: str
    to: tuple[str, ...]
    numbers: int
    rows: int
    lasting: bool = False
    limited: bool = True


def most_label_numbers(rows: int, share: float = 0.5, exposure: float = 1.0) -> int:
    """The most numbers about the labels of ``rows`` rows, times ``exposure``.

    ``share`` is p of the rarer class; for labels that are numbers it is 1/2. Two bounds hold: rows p (1 - p) / 32, and a quarter of
    the entropy rows h(p) in numbers of 24 + log2(rows) / 2 bits. The first is the smaller one unless a class is very rare or there
    are very many rows.
    """
    _require(rows, share)
    by_least_squares = rows * share * (1 - share) / ROWS_PER_NUMBER
    by_entropy = ENTROPY_SHARE * rows * entropy(share) / (FEATURE_BITS + math.log2(max(rows, 1)) / 2)
    return math.floor(exposure * min(by_least_squares, by_entropy))


def most_column_numbers(rows: int, exposure: float = 1.0) -> int:
    """The most numbers about one column of ``rows`` rows, times ``exposure``; for bins, the sums of g and of h count apart.

    Source: with sums of g and h of 5,000 rows in 32 equal bins, least squares tell the bin of 4.8% of the rows at rows / 16
    numbers, where guessing gives 3.1%; of 8% at rows / 4, of 17% at as many numbers as rows, and of 30% at twice as many.
    """
    _require(rows, 0.5)
    return math.floor(exposure * rows / ROWS_PER_SUM)


def smallest_group(minimum: int, numbers: int, share: float = 0.5) -> int:
    """The fewest rows by which two sets of people may differ, if recipients get ``numbers`` numbers about each set.

    It is the inverse of the first bound of :func:`most_label_numbers`, and never less than ``minimum``.
    """
    _require(numbers, share)
    return max(minimum, math.ceil(ROWS_PER_NUMBER * numbers / (share * (1 - share))))


def entropy(share: float) -> float:
    """The binary entropy of a share, in bits."""
    return -share * math.log2(share) - (1 - share) * math.log2(1 - share)


def _require(count: int, share: float) -> None:
    if count < 0 or not 0 < share <= 0.5:
        raise ValueError("a count is not negative, and the share of the rarer class lies above 0 and is 1/2 at most")
