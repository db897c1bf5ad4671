"""Private products X^T d with masks from a dealer (Beaver 1991, in matrix form), opened to the owner of X only.

A residual d is the sum of the data parties' shares d_j. The dealer and party j share a seed. From it, both compute a mask A_j with
the shape of X_j, a mask b_j for the d_j of every round, and pads r_jk. Owner k shows E_k = X_k - A_k to the other data parties once
per run. In every round, all data parties see f = d - b, where b = sum b_j. Then

    X_k^T d = X_k^T (f + b_k)  +  sum over j != k of (E_k^T b_j - r_jk)  +  (A_k^T (b - b_k) + sum over j != k of r_jk)
              owner                party j, to the owner                     dealer, to the owner

Apart from f, the addends that the owner gets are uniformly random, except that their sum gives the result. X has one more column, a
secret combination of the other columns. Its result must be the same combination of the other results. With a wrong mask or addend,
it is not.
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
    cause = "The check of a product of masked values failed: the part of the dealer or of a peer is wrong."
    remedy = (
        "Install the same version at all parties and start a new run. If it fails again, the arbiter or a peer computes wrongly: "
        "find out which one, and work without it."
    )


class Masks:
    """The masks that come from the seed of one party. Each mask is used once, in one run."""

    def __init__(self, seed: bytes) -> None:
        self._prf = Prf(seed)

    def matrix(self, rows: int, columns: int) -> Ring:
        """The mask A of the one matrix of the run; shape (rows, columns), column by column."""
        return self._prf.stream("matrix").uint64(rows * columns).reshape(rows, columns, order="F")

    def residual(self, round: int, rows: int) -> Ring:
        """The mask b of a round, shape (rows,)."""
        return self._prf.stream("residual", round).uint64(rows)

    def pad(self, round: int, owner: str, columns: int) -> Ring:
        """The pad r of a round for the owner of a matrix, shape (columns,)."""
        return self._prf.stream("pad", round, owner).uint64(columns)

    def sigmoid(self, round: int, rows: int) -> Ring:
        """A share of a round's sigmoids, shape (rows,)."""
        return self._prf.stream("sigmoid", round).uint64(rows)


@dataclass(frozen=True)
class Matrix:
    """The owner's X in fixed point. The last column is a checksum: the sum of the others, each times a secret weight."""

    x: Ring
    weights: Ring

    @classmethod
    def of(cls, fixed: npt.NDArray[np.int64], weights: Ring) -> Matrix:
        """``fixed`` of shape (rows, columns), ``weights`` of shape (columns,), uniform; only the owner knows them."""
        own = fixed.view(np.uint64)
        return cls(np.asfortranarray(np.column_stack([own, np.einsum("ij,j->i", own, weights)])), weights)

    def masked(self, masks: Masks) -> Ring:
        """E. It says nothing about X to a party that does not know the seed."""
        return self.x - masks.matrix(*self.x.shape)

    def own_addend(self, f: Ring, b: Ring) -> Ring:
        """X^T (f + b), where b is the mask of the owner."""
        return product(self.x, f + b)

    def checked(self, result: Ring) -> Ring:
        """X^T d without the checksum, shape (columns,); raises :class:`WrongProduct`."""
        products = result[:-1]
        if np.sum(products * self.weights, dtype=np.uint64) != result[-1]:
            raise WrongProduct()
        return products


def peer_addend(masked: Ring, b: Ring, pad: Ring) -> Ring:
    """E^T b_j - r_j at a peer, for the owner of E."""
    return product(masked, b) - pad


def dealer_addend(matrix: Ring, b: Ring, pads: list[Ring]) -> Ring:
    """A^T b + sum of r at the dealer, for the owner; b is the sum of the masks of the other parties."""
    return product(matrix, b) + np.sum(pads, axis=0, dtype=np.uint64)
