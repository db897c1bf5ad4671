"""Private products X^T d with masks from a dealer (Beaver 1991, in matrix form), opened to the owner of X only.

A residual d is the sum of the data parties' shares d_j. The dealer and party j know a seed, and by it a mask A_j of the shape of
X_j, a mask b_j of every round's d_j, and pads r_jk. Owner k shows E_k = X_k - A_k to the other data parties once per run, and every
round all see f = d - b, where b = sum b_j. Then

    X_k^T d = X_k^T (f + b_k)  +  sum over j != k of (E_k^T b_j - r_jk)  +  (A_k^T (b - b_k) + sum over j != k of r_jk)
              owner                party j, to the owner                     dealer, to the owner

Beside f, what the owner gets is uniform but for its sum, which is the result. A further column, a secret combination of the others,
must come out as the same combination of the results: with a wrong mask or addend it does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.shares.ring import Ring, product
from tombolo.storage.errors import CodedError

SEED_BYTES = 32


class WrongProduct(CodedError):
    code = "TMB-DEAL-001"
    cause = "A product of masked values does not check, so the dealer's or a peer's part of it is wrong."
    remedy = "All parties must run the same version; if they do, the arbiter or a peer computes wrongly: start again without it."


class Masks:
    """What one party's seed stands for; every mask is for one use in one run."""

    def __init__(self, seed: bytes) -> None:
        self._prf = Prf(seed)

    def matrix(self, rows: int, columns: int) -> Ring:
        """A, for the one matrix of the run; shape (rows, columns), column by column."""
        return self._prf.stream("matrix").uint64(rows * columns).reshape(rows, columns, order="F")

    def residual(self, round: int, rows: int) -> Ring:
        """b of a round, shape (rows,)."""
        return self._prf.stream("residual", round).uint64(rows)

    def pad(self, round: int, owner: str, columns: int) -> Ring:
        """r of a round towards the owner of a matrix, shape (columns,)."""
        return self._prf.stream("pad", round, owner).uint64(columns)

    def sigmoid(self, round: int, rows: int) -> Ring:
        """A share of a round's sigmoids, shape (rows,)."""
        return self._prf.stream("sigmoid", round).uint64(rows)


@dataclass(frozen=True)
class Matrix:
    """An owner's X in fixed point with its checksum, the last column: the others, each times its secret weight."""

    x: Ring
    weights: Ring

    @classmethod
    def of(cls, fixed: npt.NDArray[np.int64], weights: Ring) -> Matrix:
        """``fixed`` of shape (rows, columns), ``weights`` of shape (columns,), uniform and known to the owner alone."""
        own = fixed.view(np.uint64)
        return cls(np.asfortranarray(np.column_stack([own, np.einsum("ij,j->i", own, weights)])), weights)

    def masked(self, masks: Masks) -> Ring:
        """E, which says nothing to whoever does not know the seed."""
        return self.x - masks.matrix(*self.x.shape)

    def own_addend(self, f: Ring, b: Ring) -> Ring:
        """X^T (f + b), b being the owner's own mask."""
        return product(self.x, f + b)

    def checked(self, result: Ring) -> Ring:
        """X^T d without the checksum, shape (columns,); raises :class:`WrongProduct`."""
        found = result[:-1]
        if np.sum(found * self.weights, dtype=np.uint64) != result[-1]:
            raise WrongProduct()
        return found


def peer_addend(masked: Ring, b: Ring, pad: Ring) -> Ring:
    """E^T b_j - r_j at a peer, for the owner of E."""
    return product(masked, b) - pad


def dealer_addend(matrix: Ring, b: Ring, pads: list[Ring]) -> Ring:
    """A^T b + sum of r at the dealer, for the owner; b being the sum of the other parties' masks."""
    return product(matrix, b) + np.sum(pads, axis=0, dtype=np.uint64)
