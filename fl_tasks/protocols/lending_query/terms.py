"""The terms of the lending query: who decrypts, which columns are counted, and how often questions may be asked."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from tombolo.agreements.protocol import TaskSection

FEWEST_LENDERS = 3
"""The fewest lenders besides the asker that must have an index, so that an answer is a sum over several lenders."""
MOST_LENDERS = 256
MOST_QUESTIONS, MOST_RECENT = 100_000, 1 << 22
"""Of one query, and of all epochs that an index takes over."""


class QueryTerms(TaskSection):
    """What a query shows, and its limits (docs/protocols/lending.md).

    ``decryptor`` is the lender that holds the decryption key. ``count`` and ``exposure`` are columns in the table of every lender.
    Each lender rounds its exposure to whole ``unit``s. ``bands`` are the lowest counts of the bands after the first; they are for
    display. Lists are padded to a multiple of ``padding``. A query has at most ``batch`` questions. Per epoch, an asker may ask
    ``asker_quota`` questions, and ``person_quota`` questions about one person. A person who was asked about in an earlier epoch may
    be asked about again after ``cooldown_hours``.
    """

    decryptor: str
    count: str = "open_loans"
    exposure: str = "exposure"
    unit: int = Field(1000, ge=1, le=10**9)
    bands: list[Annotated[int, Field(ge=1)]] = Field([1, 3], min_length=1)
    padding: int = Field(1024, ge=1, le=1 << 20)
    batch: int = Field(1000, ge=1, le=MOST_QUESTIONS)
    asker_quota: int = Field(10_000, ge=1)
    person_quota: int = Field(3, ge=1)
    cooldown_hours: float = Field(24.0, ge=0)

    @model_validator(mode="after")
    def _bands_rise(self) -> Self:
        if sorted(set(self.bands)) != self.bands:
            raise ValueError("bands: give the lowest counts of the bands after the first, in rising order, each once")
        if self.count == self.exposure:
            raise ValueError("exposure: name another column than count")
        return self

    def band(self, count: int) -> str:
        """The band of a count as text, such as ``0``, ``1-2`` or ``3 or more``."""
        low = [0, *self.bands]
        at = sum(count >= lowest for lowest in self.bands)
        if at == len(self.bands):
            return f"{low[at]} or more"
        high = self.bands[at] - 1
        return str(low[at]) if low[at] == high else f"{low[at]}-{high}"
