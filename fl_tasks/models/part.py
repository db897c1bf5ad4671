"""One party's part of a model: what it alone keeps, and the encoder of its columns; nothing executable.

A part is of its protocol's kind: weights for linear models, records of splits (and the trees, at the guest) for boosted ones,
layers for networks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy.typing as npt
import pyarrow as pa

from tombolo.storage.errors import CodedError


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

    @classmethod
    @abstractmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """The part of this kind; raises KeyError, TypeError, ValueError or :class:`UnfitPart`."""

    @staticmethod
    def _common(document: Mapping[str, Any]) -> dict[str, Any]:
        loss = tuple(float(value) for value in document.get("loss") or ())
        return {"loss": loss, "rounds": int(document["rounds"]), "document": dict(document)}
