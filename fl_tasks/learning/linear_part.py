"""A party's part of a linear model: weights of its own columns; or the whole model, at a client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.models.part import ModelPart, UnfitPart
from tombolo.fl_tasks.tables.encoding import Encoder


@dataclass(frozen=True)
class LinearPart(ModelPart):
    """Weights (d,) of the encoded columns, and the intercept (0 at hosts)."""

    weights: npt.NDArray[np.float64]
    intercept: float
    encoder: Encoder

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        encoder = Encoder.from_document(document["encoder"])
        weights = np.asarray(document["weights"], dtype=np.float64)
        if weights.shape != (len(encoder.names),) or list(encoder.names) != document["names"] or not np.isfinite(weights).all():
            raise UnfitPart("The weights do not match the encoded columns.")
        intercept = float(document.get("intercept") or 0.0)
        if not np.isfinite(intercept):
            raise UnfitPart("The intercept is not finite.")
        return cls(weights=weights, intercept=intercept, encoder=encoder, **cls._common(document))


def partial_scores(part: ModelPart, x: npt.NDArray[np.float64], batch: int = 65_536) -> npt.NDArray[np.float64]:
    """A linear part's share of the score of each encoded row, shape (n,): columns times weights, plus the guest's intercept."""
    assert isinstance(part, LinearPart)
    pieces = [x[start : start + batch] @ part.weights + part.intercept for start in range(0, len(x), batch)]
    return np.concatenate(pieces) if pieces else np.zeros(0)
