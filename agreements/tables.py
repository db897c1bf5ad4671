"""The terms of a table: how its columns are read."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Missing = Literal["reject", "mean", "median", "zero", "indicator", "level"]


class Strict(BaseModel):
    """What all terms have in common: no unknown field, no change, no infinite number."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ColumnTerms(Strict):
    """How one column becomes numbers."""

    kind: Literal["numeric", "categorical"] = "numeric"
    missing: Missing | None = None
    clip: float | None = Field(None, gt=0)


class TableTerms(Strict):
    """How a party's table becomes numbers: what is dropped, and what missing values become."""

    drop: list[str] = []
    missing: Missing = "reject"
    columns: dict[str, ColumnTerms] = {}
