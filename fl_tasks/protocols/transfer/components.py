"""A party's columns as principal components of its own rows: fewer inputs, of variance 1, without a label and without a message.

The stacked auto-encoders of the paper (section 5) are learnt in the same way: from all rows of the party, not from the common ones.
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
    """An encoder, and the ``basis`` (encoded columns, inputs) that its columns are multiplied by; inputs are clipped at 3."""

    encoder: Encoder
    basis: Floats

    @classmethod
    def fit(
        cls, table: pa.Table, spec: TableTerms, train: npt.NDArray[np.bool_], limits: LimitTerms, most: int, party: str
    ) -> Components:
        """At most ``most`` components of the ``train`` rows. Raises what :class:`Encoder` raises."""
        # no leverage of columns: what training could expose are the inputs of common rows, clipped, and guarded by their number
        encoder = Encoder.fit(table, spec, train, limits.model_copy(update={"maximum_leverage": math.inf}), party)
        x = encoder.transform(table.filter(pa.array(train)))
        values, vectors = np.linalg.eigh(x.T @ x / len(x))
        chosen = [at for at in np.argsort(-values)[:most] if values[at] > 1e-6]
        basis = vectors[:, chosen] / np.sqrt(values[chosen])
        return cls(encoder, basis * np.where(basis.sum(axis=0) < 0, -1.0, 1.0))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the components."""
        return tuple(f"component {number}" for number in range(1, self.basis.shape[1] + 1))

    def transform(self, table: pa.Table) -> Floats:
        """Inputs of shape (rows, inputs)."""
        return np.clip(self.encoder.transform(table) @ self.basis, -_CLIP, _CLIP)

    def to_document(self) -> dict[str, Any]:
        return {**self.encoder.to_document(), "basis": self.basis.tolist()}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Components:
        """Inverse of :meth:`to_document`; raises KeyError, TypeError or ValueError on anything else."""
        encoder, basis = Encoder.from_document(document), np.asarray(document["basis"], dtype=np.float64)
        if basis.ndim != 2 or len(basis) != len(encoder.names) or not np.isfinite(basis).all():
            raise ValueError("basis and columns differ")
        return cls(encoder, basis)
