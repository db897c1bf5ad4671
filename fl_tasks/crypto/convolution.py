"""X^T [[d]] with several rows in one ciphertext, for narrow tables: each sum is the middle digit of a product of polynomials.

The numbers d_0 ... d_(k-1) of k rows are the digits of one plaintext in base B = 2^128, and the integers of a column the digits
of a factor in reverse order, so that digit k - 1 of the product is x_0 d_0 + ... + x_(k-1) d_(k-1). The other 2 k - 2 digits are
sums of products of other rows, which reveal more about d than the column's owner may learn. The owner therefore masks the whole
plaintext uniformly modulo n, so that it is random to the key holder. The key holder returns only the middle digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gmpy2
import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.crypto.errors import InvalidResidue, NoHeadroom, WrongShape
from tombolo.fl_tasks.crypto.matvec import Matrix, plan, transposed_product
from tombolo.fl_tasks.crypto.paillier import PublicKey
from tombolo.fl_tasks.crypto.pool import Pool
from tombolo.fl_tasks.crypto.prf import Stream
from tombolo.fl_tasks.crypto.vector import CipherVector

DIGIT_BITS, GUARD_BITS = 128, 40
_BASE = 1 << DIGIT_BITS
_ROW_US, _MULTIPLY_US, _COLUMN_US = 65.0, 2.7, 3_000.0


@dataclass(frozen=True)
class Convolution:
    """The format of these plaintexts under a key, for numbers d of at most 2^``number_bits`` in magnitude."""

    public: PublicKey
    number_bits: int

    @property
    def rows(self) -> int:
        """k, the rows in a ciphertext: 8 at 2048 bits. All 2 k - 1 digits of a product fit below n."""
        return ((self.public.bits - 1) // DIGIT_BITS + 1) // 2

    def fits(self, rows: int, feature_bits: int) -> bool:
        """Whether sums over ``rows`` rows leave the guard bits of a digit free, with features below 2^``feature_bits``."""
        return self.number_bits + feature_bits + rows.bit_length() < DIGIT_BITS - GUARD_BITS

    def pays(self, rows: int, columns: int, feature_bits: int) -> bool:
        """Whether packing takes less work than a ciphertext per row, for all parties together.

        Encrypting, checking and factoring a row costs about as much as multiplying it by ten columns. With packing, fewer
        ciphertexts share the cost of the buckets.
        """

        def cost_us(ciphertexts: int, columns: int) -> float:
            multiplications = plan(ciphertexts, 1 << feature_bits)[2] * columns
            return ciphertexts * _ROW_US + multiplications * _MULTIPLY_US

        packed = cost_us(-(-rows // self.rows), self.rows * columns)
        return packed + columns * _COLUMN_US < cost_us(rows, columns)

    def pack(self, numbers: npt.NDArray[np.int64]) -> list[int]:
        """The plaintexts for signed numbers, shape (rows,): one for every k rows. The last one is filled up with zeros."""
        k = self.rows
        padded = np.pad(numbers, (0, -len(numbers) % k)).reshape(-1, k)
        return [sum(value << DIGIT_BITS * at for at, value in enumerate(row)) for row in padded.tolist()]

    def product(self, x: Matrix, vector: CipherVector, pool: Pool | None = None) -> CipherVector:
        """The products for x of shape (rows, columns), a ciphertext per column. Mask a whole plaintext before it is decrypted.

        Raises :class:`WrongShape` for a vector of another length and :class:`NoHeadroom` if a digit could overflow.
        """
        (count, columns), k = x.shape, self.rows
        if len(vector) != -(-count // k):
            raise WrongShape(f"{len(vector)} ciphertexts for {count} rows, {k} in each.")
        if x.size and not self.fits(count, int(np.abs(x).max()).bit_length()):
            raise NoHeadroom(f"A sum of {count} products could fill a digit of {DIGIT_BITS} bits.")
        padded = np.pad(x, ((0, -count % k), (0, 0))).reshape(-1, k * columns)
        parts = transposed_product(padded, vector, pool).values()
        products, modulus = parts[:columns], self.public.nsquare
        for start in range(columns, len(parts), columns):
            following = parts[start : start + columns]
            products = [gmpy2.powmod(high, _BASE, modulus) * low % modulus for high, low in zip(products, following, strict=True)]
        return CipherVector.from_values(self.public, products)

    @property
    def _low(self) -> int:
        """The position of the middle digit, in bits."""
        return DIGIT_BITS * (self.rows - 1)

    def masks(self, count: int, stream: Stream) -> list[int]:
        """``count`` masks, uniform modulo n. A share of 2^-38 is left out, as they could carry into the middle or wrap."""
        low, n, drawn = 1 << self._low, int(self.public.n), list[int]()
        near, far = low >> GUARD_BITS, n >> GUARD_BITS
        while len(drawn) < count:
            (mask,) = stream.integers_below(n, 1)
            if far <= mask < n - far and near <= mask % low < low - near:
                drawn.append(mask)
        return drawn

    def middle(self, residues: Sequence[int]) -> list[int]:
        """The middle digits of masked products, in [0, B). The key holder returns these."""
        return [int(residue) >> self._low & (_BASE - 1) for residue in residues]

    def unmask(self, digits: Sequence[int], masks: Sequence[int]) -> list[int]:
        """The signed sums. Raises :class:`WrongShape` for different lengths, :class:`InvalidResidue` for a digit outside [0, B)."""
        if len(digits) != len(masks):
            raise WrongShape(f"{len(digits)} digits for {len(masks)} masks.")
        if any(not 0 <= digit < _BASE for digit in digits):
            raise InvalidResidue("A digit is outside its range.")
        sums = [(digit - (mask >> self._low)) % _BASE for digit, mask in zip(digits, masks, strict=True)]
        return [value - _BASE if value >= _BASE >> 1 else value for value in sums]
