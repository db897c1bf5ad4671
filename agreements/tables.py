"""The terms of a table: how its columns become numbers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Missing = Literal["reject", "mean", "median", "zero", "indicator", "level"]


class Strict(BaseModel):
    """The base of all terms: unknown fields and infinite numbers are refused, and nothing can be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ColumnTerms(Strict):
    """How one column becomes numbers."""

    kind: Literal["numeric", "categorical"] = "numeric"
    missing: Missing | None = None
    clip: float | None = Field(None, gt=0)


class TableTerms(Strict):
    """How a party's table becomes numbers: which columns are dropped, and what replaces missing values."""

    drop: list[str] = []
    missing: Missing = "reject"
    columns: dict[str, ColumnTerms] = {}
