"""The terms of agreements over different users with the same columns: what is in the tables, and how sums are taken."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tombolo.agreements.protocol import TaskSection
from tombolo.agreements.tables import ColumnTerms, Strict, TableTerms

if TYPE_CHECKING:
    from tombolo.agreements.task import TaskTerms


def _rising(range: tuple[float, float]) -> tuple[float, float]:
    if range[0] >= range[1]:
        raise ValueError("the lower end first, and the upper end above it")
    return range


Range = Annotated[tuple[float, float], AfterValidator(_rising)]


class FeatureTerms(Strict):
    """A column that all clients have: a number, or one of the ``levels``. A value that is not in the list counts as missing.

    ``range`` is where its numbers are publicly known to lie, whatever the rows: the fine bins of quantiles fill it, and with
    ``privacy`` columns are standardised by it. ``missing: level`` gives trees a bin of missing values.
    """

    levels: list[str] | None = Field(None, min_length=1)
    missing: Literal["reject", "mean", "level"] = "reject"
    clip: float | None = Field(None, gt=0)
    range: Range | None = None

    @model_validator(mode="after")
    def _levels_differ(self) -> Self:
        if self.levels is not None and (len(set(self.levels)) != len(self.levels) or "" in self.levels):
            raise ValueError("levels: each once, and none empty")
        if self.levels is not None and self.range is not None:
            raise ValueError("range: a column of levels has no range")
        return self


class HorizontalTerms(TaskSection):
    """What all clients' tables have in common, and how their sums are taken (docs/protocols/horizontal.md).

    ``threshold`` clients are the fewest that a sum is taken over, by default just more than two thirds; a step of a sum stays open
    for ``step_seconds``. ``quartiles`` puts those of every column into the report of all training rows, for two more sums; trees
    find them anyway. With ``absence: skip`` a run begins without clients that decline it or have not joined in time; with ``admit``
    one that comes later takes part from the next leg of training on.
    """

    features: dict[str, FeatureTerms] = Field(min_length=1)
    threshold: int | None = Field(None, ge=3)
    step_seconds: float = Field(600, gt=0)
    absence: Literal["wait", "skip", "admit"] = "wait"
    quartiles: bool = False

    def threshold_of(self, clients: int) -> int:
        """The fewest clients of so many that a sum is taken over."""
        return self.threshold if self.threshold is not None else 2 * clients // 3 + 1

    def table(self) -> TableTerms:
        """The terms of every client's table."""
        kinds: dict[bool, Literal["numeric", "categorical"]] = {True: "numeric", False: "categorical"}
        return TableTerms(
            columns={
                name: ColumnTerms(kind=kinds[one.levels is None], missing=one.missing, clip=one.clip)
                for name, one in self.features.items()
            }
        )


def require_clients(task: TaskTerms, roles: Collection[str]) -> None:
    """Raise ValueError unless so many clients can take sums above the agreed threshold."""
    horizontal, clients = task.section(HorizontalTerms), list(roles).count("client")
    if not 2 * clients < 3 * horizontal.threshold_of(clients) <= 3 * clients:
        raise ValueError(f"horizontal.threshold: with {clients} clients more than two thirds of them, and not more than there are")
