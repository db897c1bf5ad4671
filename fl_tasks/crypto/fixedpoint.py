"""Fixed-point encoding of real numbers. Each message field has one scale, so that no exponent is sent with a value."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log2

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.crypto.errors import NoHeadroom, OutOfRange
from tombolo.fl_tasks.crypto.paillier import PublicKey

FEATURE_BITS = 24
"""Fractional bits of standardised features."""
FEATURE_LIMIT = 2.0**10
"""The largest magnitude of a standardised feature that any protocol accepts."""

_INT64_LIMIT = 2.0**63


def encode(values: npt.ArrayLike, bits: int) -> npt.NDArray[np.int64]:
    """Round ``values * 2**bits`` to int64, half to even; same shape.

    Raises :class:`OutOfRange` for NaN, infinity or overflow.
    """
    scaled = np.asarray(values, dtype=np.float64) * 2.0**bits
    if not np.isfinite(scaled).all():
        raise OutOfRange("A value is NaN or infinite.")
    rounded = np.rint(scaled)
    if rounded.size and np.abs(rounded).max() >= _INT64_LIMIT:
        raise OutOfRange(f"A value does not fit in 63 bits with {bits} fractional bits.")
    return rounded.astype(np.int64)


def encode_features(values: npt.ArrayLike, bits: int, limit: float = FEATURE_LIMIT) -> npt.NDArray[np.int64]:
    """:func:`encode` for features, which must not exceed ``limit`` in magnitude (2^10 after standardisation)."""
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all() or (array.size and np.abs(array).max() > limit):
        raise OutOfRange(f"Features must be finite and at most {limit:g} in magnitude.")
    return encode(array, bits)


def decode(values: Sequence[int] | npt.NDArray[np.int64], bits: int) -> npt.NDArray[np.float64]:
    """The float64 values of integers at ``bits`` fractional bits, each correctly rounded. The integers may have any size."""
    if isinstance(values, np.ndarray) and values.dtype != object:
        return values.astype(np.float64) / 2.0**bits
    scale = 1 << bits
    return np.array([int(value) / scale for value in values], dtype=np.float64)


def check_headroom(public: PublicKey, *, scale_bits: int, bound: float, terms: int = 1) -> None:
    """Refuse a computation whose result could wrap around modulo n.

    ``scale_bits`` are the fractional bits of the result (f_x + f_d), ``bound`` limits the magnitude of one real term
    (max|x| * max|d|), ``terms`` is how many of them are added. Raises :class:`NoHeadroom`.
    """
    needed = scale_bits + ceil(log2(max(bound, 1.0))) + max(terms, 1).bit_length() + 1
    if needed >= public.bits - 1:
        raise NoHeadroom(f"The result needs {needed} bits, and the key has room for {public.bits - 2}.")
