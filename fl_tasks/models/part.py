"""One party's part of a model: what it alone keeps, and the encoder of its columns; nothing executable.

A part is of its protocol's kind: weights for linear models, records of splits (and the trees, at the guest) for boosted ones,
layers for networks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contracts.parameters import LINEAR, NEWTON
from fl_tasks.models import registry
from fl_tasks.models.tensors import from_file
from fl_tasks.tables.encoding import Encoder
from fl_tasks.workplace import Workplace
from storage.errors import CodedError


class NotTrained(CodedError):
    code = "TMB-MODEL-005"
    cause = "This party holds no finished model of the run."
    remedy = "Let the training stage of that run finish at this party first."


class UnfitPart(CodedError):
    code = "TMB-MODEL-006"
    cause = "A model part does not fit its own encoder."
    remedy = "The stored part is damaged or of another version; use another version of the model."


class Encodes(Protocol):
    """How a party's columns become numbers."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the encoded columns."""

    def transform(self, table: pa.Table) -> npt.NDArray[Any]:
        """Shape (rows, columns); raises coded errors on rows that it cannot take."""

    def to_document(self) -> dict[str, Any]:
        """What JSON holds."""


@dataclass(frozen=True)
class ModelPart(ABC):
    """What all kinds have: the encoder, losses by round where this party may know them, how many rounds, the document itself.

    A document consists of what JSON holds, and of arrays.
    """

    encoder: Encodes
    loss: tuple[float, ...]
    rounds: int
    document: Mapping[str, Any]
    PROTOCOLS: ClassVar[tuple[str, ...]]

    @classmethod
    @abstractmethod
    def _read(cls, document: Mapping[str, Any]) -> Self:
        """The part of this kind; raises KeyError, TypeError, ValueError or :class:`UnfitPart`."""

    @staticmethod
    def _common(document: Mapping[str, Any]) -> dict[str, Any]:
        loss = tuple(float(value) for value in document.get("loss") or ())
        return {"loss": loss, "rounds": int(document["rounds"]), "document": dict(document)}

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> ModelPart:
        """Take over a document. Raises :class:`UnfitPart`."""
        try:
            return _kind(document["protocol"])._read(document)
        except (KeyError, TypeError, ValueError):
            raise UnfitPart("A field is lacking or of another kind.") from None

    @staticmethod
    def from_file(data: bytes) -> ModelPart:
        """Take over what the training stage kept or the registry holds. Raises :class:`UnfitPart`."""
        try:
            document = from_file(data)
        except ValueError:
            raise UnfitPart("It is no file of a model part.") from None
        return ModelPart.from_document(document)

    @staticmethod
    def of_run(place: Workplace, run: str) -> ModelPart:
        """The part that this party's training of ``run`` ended with. Raises :class:`NotTrained`."""
        stored = place.run_area(run).get("model")
        if stored is None:
            raise NotTrained(f"Run {run}.", party=place.me)
        return ModelPart.from_file(stored)

    @staticmethod
    def of_version(place: Workplace, version: str) -> ModelPart:
        """The part that this party published. Raises NoSuchModel, and :class:`NotTrained` where it has none."""
        stored = registry.load_part(place, version)
        if stored is None:
            raise NotTrained(f"Version {version}.", party=place.me)
        return ModelPart.from_file(stored)


@dataclass(frozen=True)
class LinearPart(ModelPart):
    """Weights (d,) of the encoded columns, and the intercept (0 at hosts)."""

    PROTOCOLS = (*LINEAR, *NEWTON)
    weights: npt.NDArray[np.float64]
    intercept: float
    encoder: Encoder

    @classmethod
    def _read(cls, document: Mapping[str, Any]) -> Self:
        encoder = Encoder.from_document(document["encoder"])
        weights = np.asarray(document["weights"], dtype=np.float64)
        if weights.shape != (len(encoder.names),) or list(encoder.names) != document["names"] or not np.isfinite(weights).all():
            raise UnfitPart("Weights and encoded columns differ.")
        intercept = float(document.get("intercept") or 0.0)
        return cls(weights=weights, intercept=intercept, encoder=encoder, **cls._common(document))


def _kind(protocol: str) -> type[ModelPart]:
    from fl_tasks.models.network import NetworkPart
    from fl_tasks.models.towers import TowerPart
    from fl_tasks.models.transfer import TransferPart
    from fl_tasks.models.trees import TreePart

    kinds: tuple[type[ModelPart], ...] = (LinearPart, TreePart, NetworkPart, TowerPart, TransferPart)
    return {name: kind for kind in kinds for name in kind.PROTOCOLS}[protocol]


def partial_scores(part: ModelPart, table: pa.Table, batch: int = 65_536) -> npt.NDArray[np.float64]:
    """A linear part's share of the score of each row, shape (n,): encoded columns times weights, plus the guest's intercept."""
    assert isinstance(part, LinearPart)
    pieces = [
        part.encoder.transform(table.slice(start, batch)) @ part.weights + part.intercept
        for start in range(0, table.num_rows, batch)
    ]
    return np.concatenate(pieces) if pieces else np.zeros(0)
