"""Integers and fixed point modulo 2^64, and masks: what a client sends is uniform, and in the sum of all clients masks cancel.

Client u adds PRG(b_u) and, for every other client v, PRG(s_uv) if u is before v in the roster, and -PRG(s_uv) if it is
after v (Bonawitz et al., CCS 2017). PRG is AES-256 in counter mode, s_uv comes from X25519 by HKDF-SHA256.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.crypto.errors import OutOfRange
from tombolo.fl_tasks.crypto.fixedpoint import decode, encode
from tombolo.fl_tasks.crypto.prf import Stream

FRACTION_BITS = 24
Words = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def to_words(values: npt.ArrayLike, clients: int) -> Words:
    """Real values as fixed point modulo 2^64, such that a sum over ``clients`` of them cannot wrap around.

    Raises :class:`OutOfRange` for what is not finite or reaches 2^39 / clients.
    """
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all() or (array.size and np.abs(array).max() >= 2.0 ** (63 - FRACTION_BITS) / clients):
        raise OutOfRange("A value that is to be summed is not finite, or too large for the sum.")
    return encode(array, FRACTION_BITS).view(np.uint64)


def from_words(words: Words) -> Floats:
    """The real values of a sum."""
    return decode(words.view(np.int64), FRACTION_BITS)


def integer_words(values: Integers, clients: int) -> Words:
    """Integers as they are, modulo 2^64, such that a sum over ``clients`` of them cannot wrap around.

    Raises :class:`OutOfRange` for what reaches 2^63 / clients in magnitude.
    """
    most = (2**63 - 1) // clients
    if values.size and not (-most <= int(values.min()) and int(values.max()) <= most):
        raise OutOfRange("An integer that is to be summed is too large for the sum.")
    return values.astype(np.int64).view(np.uint64)


def words_integers(words: Words) -> Integers:
    """The integers of a sum."""
    return words.view(np.int64)


def add_mask(total: Words, seed: bytes, sign: int = 1) -> None:
    """Add PRG(seed) in place, or subtract it if ``sign`` is -1."""
    Stream(seed).add_to(total, sign)


def pair_sign(mine: int, theirs: int) -> int:
    """The sign with which the client at place ``mine`` of the roster adds the mask that it shares with the one at ``theirs``."""
    return 1 if mine < theirs else -1
