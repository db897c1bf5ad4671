"""One party's part of a model: what this party keeps, and the encoder of its columns. Nothing in it can be executed.

The protocol decides what is in a part: weights for linear models, records of splits (at the guest also the trees) for boosted
trees, layers for networks.
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
    cause = "A model part cannot be used: something is missing in it, or it does not fit its encoder."
    remedy = (
        "The part is damaged, or another version of Tombolo wrote it. Use another published version of the model, or train again."
    )


class Encodes(Protocol):
    """How a party's columns become numbers."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the encoded columns."""

    def transform(self, table: pa.Table) -> npt.NDArray[Any]:
        """The encoded rows, shape (rows, columns). Raises coded errors for rows that it cannot encode."""

    def to_document(self) -> dict[str, Any]:
        """The encoder as JSON."""


@dataclass(frozen=True)
class ModelPart(ABC):
    """What all parts have: the encoder, the loss of each round if this party may know it, the number of rounds, and the document.

    A document consists of JSON values and arrays.
    """

    encoder: Encodes
    loss: tuple[float, ...]
    rounds: int
    document: Mapping[str, Any]

    @classmethod
    @abstractmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """The part that a document describes; raises KeyError, TypeError, ValueError or :class:`UnfitPart`."""

    @staticmethod
    def _common(document: Mapping[str, Any]) -> dict[str, Any]:
        loss = tuple(float(value) for value in document.get("loss") or ())
        return {"loss": loss, "rounds": int(document["rounds"]), "document": dict(document)}
