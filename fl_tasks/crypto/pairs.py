"""Two sums in one Paillier plaintext: v = (g << low) + h with h >= 0, so that a sum of v contains the sums of g and of h.

No offset is needed: the sum H of h is the residue of v modulo 2^low, and the sum G of g is exactly the rest, also for negative G. A
sum fits in a slot of whole bytes, so that many sums can be compressed into one ciphertext before decryption. The pairs of several
classes can be stacked into one plaintext per row. Adding such plaintexts adds all classes at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.crypto.errors import MalformedPacking, OutOfRange
from tombolo.fl_tasks.crypto.packing import slots_of, slots_per_ciphertext
from tombolo.fl_tasks.crypto.paillier import PublicKey

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """The format of pairs. Their members have magnitudes of at most 2^bits, and at most ``rows`` pairs are added up."""

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

    def sets(self, public: PublicKey, classes: int) -> list[range]:
        """Which classes are stacked together: as many as fit in one plaintext, in order."""
        most = slots_per_ciphertext(public, self.slot_bits)
        return [range(first, min(first + most, classes)) for first in range(0, classes, most)]

    def join(self, g: Integers, h: Integers) -> list[int]:
        """One plaintext per row. Raises :class:`OutOfRange` for values beyond the declared bound, or a negative h."""
        limit = 1 << self.bits
        if len(g) and (np.abs(g).max() > limit or h.min() < 0 or h.max() > limit):
            raise OutOfRange("A member of a pair is larger than its bits allow.")
        low = self.low
        return [(a << low) + b for a, b in zip(g.tolist(), h.tolist(), strict=True)]

    def split(self, sums: Sequence[int]) -> Integers:
        """The sums of g and h, shape (n, 2). Raises :class:`MalformedPacking` for values that no sum of pairs can have."""
        low, mask, limit = self.low, (1 << self.low) - 1, self.rows << self.bits
        pairs = np.array([(value >> low, value & mask) for value in sums], dtype=object).reshape(-1, 2)
        if any(abs(g) > limit or h > limit for g, h in pairs):
            raise MalformedPacking("A sum is larger than the sum of all rows can be.")
        return pairs.astype(np.int64)

    def stack(self, classes: Sequence[Sequence[int]]) -> list[int]:
        """One plaintext per row, with the pairs of several classes. The first class is in the lowest slot.

        For each class, a sum of pairs stays below 2^(slot_bits - 1) in magnitude, so that it does not carry into the next slot.
        """
        return [sum(pair << self.slot_bits * at for at, pair in enumerate(row)) for row in zip(*classes, strict=True)]

    def unstack(self, sums: Sequence[int], classes: int) -> Integers:
        """Each class's sums of g and h, shape (classes, n, 2), from sums of stacked pairs. Raises :class:`MalformedPacking`."""
        rows = [slots_of(value, self.slot_bits, classes) for value in sums]
        return np.stack([self.split([row[at] for row in rows]) for at in range(classes)])
