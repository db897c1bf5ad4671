"""One party's part of a model: the weights of its own columns and the encoder that made them; JSON, nothing executable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fl_tasks.tables.encoding import Encoder
from fl_tasks.workplace import Workplace
from storage.canonical import parse
from storage.errors import CodedError

_LARGEST = 1 << 26


class NotTrained(CodedError):
    code = "TMB-MODEL-005"
    cause = "This party holds no finished model of the run."
    remedy = "Let the training stage of that run finish at this party first."


class UnfitPart(CodedError):
    code = "TMB-MODEL-006"
    cause = "A model part does not fit its own encoder."
    remedy = "The stored part is damaged or of another version; use another version of the model."


@dataclass(frozen=True)
class ModelPart:
    """Weights (d,) of the encoded columns ``names``, the guest's intercept (0 elsewhere), losses by round where known."""

    weights: npt.NDArray[np.float64]
    intercept: float
    names: tuple[str, ...]
    encoder: Encoder
    loss: tuple[float, ...]
    rounds: int
    document: Mapping[str, Any]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ModelPart:
        """Take over what the training stage kept or the registry holds. Raises :class:`UnfitPart`."""
        try:
            encoder = Encoder.from_document(document["encoder"])
            weights = np.asarray(document["weights"], dtype=np.float64)
            names = tuple(str(name) for name in document["names"])
            intercept = float(document.get("intercept") or 0.0)
            loss = tuple(float(value) for value in document.get("loss") or ())
            rounds = int(document["rounds"])
        except (KeyError, TypeError, ValueError):
            raise UnfitPart("A field is lacking or of another kind.") from None
        if weights.shape != (len(names),) or tuple(encoder.names) != names or not np.isfinite(weights).all():
            raise UnfitPart("Weights and encoded columns differ.")
        return cls(weights, intercept, names, encoder, loss, rounds, dict(document))

    @classmethod
    def of_run(cls, place: Workplace, run: str) -> ModelPart:
        """The part that this party's training of ``run`` ended with. Raises :class:`NotTrained`."""
        stored = place.run_area(run).get("model")
        if stored is None:
            raise NotTrained(f"Run {run}.", party=place.me)
        return cls.from_document(parse(stored, _LARGEST))


def partial_scores(part: ModelPart, table: pa.Table, batch: int = 65_536) -> npt.NDArray[np.float64]:
    """This party's share of the score of each row, shape (n,): encoded columns times weights, plus the guest's intercept."""
    pieces = [
        part.encoder.transform(table.slice(start, batch)) @ part.weights + part.intercept
        for start in range(0, table.num_rows, batch)
    ]
    return np.concatenate(pieces) if pieces else np.zeros(0)
