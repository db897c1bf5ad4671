"""The principal components of the rows of one party: fewer inputs, of variance 1. They need no label and no message.

The paper (section 5) trains its stacked auto-encoders in the same way: from all rows of the party, not only from the common rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tombolo.agreements.tables import TableTerms
from tombolo.agreements.terms import LimitTerms
from tombolo.fl_tasks.tables.encoding import Encoder

Floats = npt.NDArray[np.float64]
_CLIP = 3.0


@dataclass(frozen=True)
class Components:
    """An encoder, and the ``basis`` (encoded columns, inputs) that multiplies the encoded columns. Inputs are clipped at 3."""

    encoder: Encoder
    basis: Floats

    @classmethod
    def fit(
        cls, table: pa.Table, spec: TableTerms, train: npt.NDArray[np.bool_], limits: LimitTerms, most: int, party: str
    ) -> Components:
        """At most ``most`` components of the ``train`` rows. Raises the errors of :class:`Encoder`."""
        # no limit on leverage: training could expose only the clipped inputs of common rows, and guard_rows asks for enough of them
        encoder = Encoder.fit(table, spec, train, limits.model_copy(update={"maximum_leverage": math.inf}), party)
        x = encoder.transform(table.filter(pa.array(train)))
        values, vectors = np.linalg.eigh(x.T @ x / len(x))
        chosen = [at for at in np.argsort(-values)[:most] if values[at] > 1e-6]
        basis = vectors[:, chosen] / np.sqrt(values[chosen])
        return cls(encoder, basis * np.where(basis.sum(axis=0) < 0, -1.0, 1.0))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the components."""
        return tuple(f"component {number}" for number in range(1, self.basis.shape[1] + 1))

    def transform(self, table: pa.Table) -> Floats:
        """The inputs of the rows of a table, shape (rows, inputs)."""
        return np.clip(self.encoder.transform(table) @ self.basis, -_CLIP, _CLIP)

    def to_document(self) -> dict[str, Any]:
        """The encoder and the basis as a document."""
        return {**self.encoder.to_document(), "basis": self.basis.tolist()}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Components:
        """Inverse of :meth:`to_document`; raises KeyError, TypeError or ValueError for a wrong document."""
        encoder, basis = Encoder.from_document(document), np.asarray(document["basis"], dtype=np.float64)
        if basis.ndim != 2 or len(basis) != len(encoder.names) or not np.isfinite(basis).all():
            raise ValueError("the basis does not fit the encoded columns, or is not finite")
        return cls(encoder, basis)
