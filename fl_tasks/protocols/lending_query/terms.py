"""The terms of the lending query: who decrypts, which columns are counted, and how often anybody may ask about anybody."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from tombolo.agreements.protocol import TaskSection

FEWEST_LENDERS = 3
"""Fewest lenders besides the asker that must hold an index, so that an answer is an aggregate."""
MOST_LENDERS = 256


class QueryTerms(TaskSection):
    """What a query tells and what limits it (docs/protocols/lending.md).

    ``decryptor`` is the lender that holds the decryption key. ``count`` and ``exposure`` are the columns of every lender's table;
    exposure is told in whole ``unit``s, rounded by each lender. ``bands`` are the lowest counts of the bands after the first, for
    display. Lists are padded to a multiple of ``padding``. Per epoch an asker may ask ``asker_quota`` questions, and
    ``person_quota`` about one person; asked in an earlier epoch, a person may be asked about again after ``cooldown_hours``.
    """

    decryptor: str
    count: str = "open_loans"
    exposure: str = "exposure"
    unit: int = Field(1000, ge=1, le=10**9)
    bands: list[Annotated[int, Field(ge=1)]] = Field([1, 3], min_length=1)
    padding: int = Field(1024, ge=1, le=1 << 20)
    batch: int = Field(1000, ge=1, le=100_000)
    asker_quota: int = Field(10_000, ge=1)
    person_quota: int = Field(3, ge=1)
    cooldown_hours: float = Field(24.0, ge=0)

    @model_validator(mode="after")
    def _bands_rise(self) -> Self:
        if sorted(set(self.bands)) != self.bands:
            raise ValueError("bands: the lowest counts of the bands after the first, rising")
        if self.count == self.exposure:
            raise ValueError("exposure: another column than count")
        return self

    def band(self, count: int) -> str:
        """The band of a count, as people read it: ``0``, ``1-2``, ``3 or more``."""
        low = [0, *self.bands]
        at = sum(count >= one for one in self.bands)
        if at == len(self.bands):
            return f"{low[at]} or more"
        high = self.bands[at] - 1
        return str(low[at]) if low[at] == high else f"{low[at]}-{high}"
