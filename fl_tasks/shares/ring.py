"""Fixed point modulo 2^64: numpy's uint64 wraps by itself, and a product of a matrix and a vector runs as fast as in floats.

Scales are chosen so that a product cannot wrap and nothing is ever truncated (docs/protocols/dealer.md has the proof).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.crypto import fixedpoint
from tombolo.fl_tasks.crypto.errors import NoHeadroom
from tombolo.fl_tasks.crypto.fixedpoint import FEATURE_BITS

Ring = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]
LARGEST_COLUMN = 2.0
"""The root mean square that no column may exceed; standardised columns have 1."""
_PRODUCT_BITS = 62
_LEAST_BITS = 10


@dataclass(frozen=True)
class Scale:
    """Fixed point with ``bits`` fractional bits, for residuals d of shape (rows,) with a root mean square of at most ``largest``.

    ``bits`` is negative where residuals are large.
    """

    rows: int
    largest: float
    bits: int

    @classmethod
    def of(cls, rows: int, largest: float) -> Scale:
        """The finest scale at which no sum x^T d can reach 2^63; the root mean square of x is at most :data:`LARGEST_COLUMN`.

        |x^T d| <= |x| |d| (Cauchy-Schwarz). Raises :class:`NoHeadroom` if fewer than ten bits of a residual would be left.
        """
        fraction, exponent = math.frexp(rows * largest * LARGEST_COLUMN)
        bits = _PRODUCT_BITS - FEATURE_BITS - (exponent - (fraction == 0.5))
        if largest * 2.0**bits < 2.0**_LEAST_BITS:
            raise NoHeadroom(f"{rows} rows are too many for shares modulo 2^64; the engine paillier takes more.")
        return cls(rows, largest, bits)

    def encode(self, values: Floats) -> Ring:
        """Residuals as elements of the ring."""
        return fixedpoint.encode(values, self.bits).view(np.uint64)

    def decode(self, products: Ring) -> Floats:
        """Sums x^T d of fixed-point features and residuals."""
        return fixedpoint.decode(products.view(np.int64), FEATURE_BITS + self.bits)


def product(matrix: Ring, vector: Ring) -> Ring:
    """X^T v modulo 2^64; shapes (rows, columns) and (rows,). Fastest with columns one after the other in memory (order F)."""
    sums: Ring = np.einsum("ij,i->j", matrix, vector)
    return sums
