"""The terms of horizontal agreements (different users, the same columns): what the tables hold, and how sums are computed."""

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
        raise ValueError("give the lower end first, and a larger upper end after it")
    return range


Range = Annotated[tuple[float, float], AfterValidator(_rising)]


class FeatureTerms(Strict):
    """A column that all clients have: a number, or one of the ``levels``. A value that is not in the list counts as missing.

    ``range`` is a public range of the numbers, which does not depend on the rows: the fine bins of quantiles cover it, and with
    ``privacy`` the column is standardised by it. ``missing: level`` gives trees a bin of missing values.
    """

    levels: list[str] | None = Field(None, min_length=1)
    missing: Literal["reject", "mean", "level"] = "reject"
    clip: float | None = Field(None, gt=0)
    range: Range | None = None

    @model_validator(mode="after")
    def _levels_differ(self) -> Self:
        if self.levels is not None and (len(set(self.levels)) != len(self.levels) or "" in self.levels):
            raise ValueError("levels: give each level once, and no empty text")
        if self.levels is not None and self.range is not None:
            raise ValueError("range: a column of levels has no range")
        return self


class HorizontalTerms(TaskSection):
    """The columns that all clients have, and how sums over clients are computed (docs/protocols/horizontal.md).

    A sum needs at least ``threshold`` clients, by default just more than two thirds. Each step of a sum waits ``step_seconds`` for
    the clients. ``quartiles`` adds the quartiles of every column to the report on the training rows, which takes two more sums;
    trees compute them in any case. With ``absence: skip`` a run begins without the clients that decline it or do not join in time.
    With ``admit``, a client that comes late also takes part from the next leg of training on.
    """

    features: dict[str, FeatureTerms] = Field(min_length=1)
    threshold: int | None = Field(None, ge=3)
    step_seconds: float = Field(600, gt=0)
    absence: Literal["wait", "skip", "admit"] = "wait"
    quartiles: bool = False

    def threshold_of(self, clients: int) -> int:
        """How many of ``clients`` clients a sum needs at least."""
        return self.threshold if self.threshold is not None else 2 * clients // 3 + 1

    def table(self) -> TableTerms:
        """The terms of every client's table."""
        kinds: dict[bool, Literal["numeric", "categorical"]] = {True: "numeric", False: "categorical"}
        return TableTerms(
            columns={
                name: ColumnTerms(kind=kinds[feature.levels is None], missing=feature.missing, clip=feature.clip)
                for name, feature in self.features.items()
            }
        )


def require_clients(task: TaskTerms, roles: Collection[str]) -> None:
    """Raise ValueError unless the agreed threshold fits the number of clients."""
    horizontal, clients = task.section(HorizontalTerms), list(roles).count("client")
    if not 2 * clients < 3 * horizontal.threshold_of(clients) <= 3 * clients:
        raise ValueError(f"horizontal.threshold: it must be more than two thirds of the {clients} clients, and at most {clients}")
