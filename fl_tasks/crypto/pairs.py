"""Two signed sums in one Paillier plaintext: v = (g << low) + h with h >= 0, so that sums of v hold the sums of g and of h.

No offset is needed: H is the residue of v modulo 2^low, and G is what remains, exactly, also for negative G. Sums fit a slot of
whole bytes, so that many of them can be compressed into one ciphertext before decryption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fl_tasks.crypto.errors import MalformedPacking, OutOfRange

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """The form of pairs whose members have magnitudes of at most 2^bits and of which at most ``rows`` are added up."""

    bits: int
    rows: int

    @property
    def low(self) -> int:
        """Bits of the sum of h."""
        return self.bits + self.rows.bit_length()

    @property
    def slot_bits(self) -> int:
        """Bits of a slot for a sum of pairs: a whole number of bytes."""
        return -(-(2 * self.low + 1) // 8) * 8

    def join(self, g: Integers, h: Integers) -> list[int]:
        """One plaintext per row. Raises :class:`OutOfRange` for values beyond the declared bound, or a negative h."""
        limit = 1 << self.bits
        if len(g) and (np.abs(g).max() > limit or h.min() < 0 or h.max() > limit):
            raise OutOfRange("A member of a pair exceeds its bits.")
        low = self.low
        return [(a << low) + b for a, b in zip(g.tolist(), h.tolist(), strict=True)]

    def split(self, sums: Sequence[int]) -> Integers:
        """The sums of g and h, shape (n, 2). Raises :class:`MalformedPacking` for values that no sum of pairs can have."""
        low, mask, limit = self.low, (1 << self.low) - 1, self.rows << self.bits
        found = np.array([(value >> low, value & mask) for value in sums], dtype=object).reshape(-1, 2)
        if any(abs(g) > limit or h > limit for g, h in found):
            raise MalformedPacking("A sum exceeds what the rows can add up to.")
        return found.astype(np.int64)
