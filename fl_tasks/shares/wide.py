"""Numbers modulo 2^192 as three words of 64 bits each, lowest first. They are for products of shares, which are not small.

An array of such numbers has one more axis, for the words. Products are computed on digits of 16 bits, with floating-point matrices.
This is fast, and it is exact: the sum of twelve times 2^16 products of two digits stays below 2^52.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.crypto.prf import Stream

Floats = npt.NDArray[np.float64]
Wide = npt.NDArray[np.uint64]
WORDS = 3
BITS = 64 * WORDS
_DIGITS = 4 * WORDS
_EXACT = 1 << 16
"""The number of products of digits that are added up at a time."""


def of(values: npt.NDArray[np.int64]) -> Wide:
    """From whole numbers of 64 bits, any shape."""
    signs = (values >> 63).view(np.uint64)
    return np.stack([values.view(np.uint64)] + [signs] * (WORDS - 1), axis=-1)


def of_integers(values: npt.NDArray[np.object_]) -> Wide:
    """From whole numbers of any size, reduced modulo 2^192."""
    words = [[(int(value) >> 64 * word) & (2**64 - 1) for word in range(WORDS)] for value in values.ravel()]
    return np.array(words, dtype=np.uint64).reshape(*values.shape, WORDS)


def integers(wide: Wide) -> npt.NDArray[np.object_]:
    """The whole numbers in [-2^191, 2^191)."""
    data, size = np.ascontiguousarray(wide, "<u8").tobytes(), 8 * WORDS
    values = [int.from_bytes(data[at : at + size], "little", signed=True) for at in range(0, len(data), size)]
    return np.array(values, dtype=object).reshape(wide.shape[:-1])


def floats(wide: Wide, bits: int) -> Floats:
    """The nearest floating-point numbers; ``wide`` has ``bits`` fractional bits."""
    below = wide[..., -1] >> np.uint64(63) == 1
    size = np.where(below[..., None], negative(wide), wide)
    magnitude = sum(size[..., word] * 2.0 ** (64 * word - bits) for word in range(WORDS))
    return np.asarray(np.where(below, -magnitude, magnitude), dtype=np.float64)


def uniform(stream: Stream, *shape: int) -> Wide:
    """Uniform random numbers of a stream."""
    return stream.uint64(WORDS * int(np.prod(shape))).reshape(*shape, WORDS)


def add(a: Wide, b: Wide) -> Wide:
    """The sum of two arrays of one shape."""
    total = a + b
    over = total < a
    for word in range(1, WORDS):
        total[..., word] += over[..., word - 1]
        over[..., word] |= over[..., word - 1] & (total[..., word] == 0)
    return total


def negative(a: Wide) -> Wide:
    """Minus ``a``, modulo 2^192."""
    one = np.zeros_like(a)
    one[..., 0] = 1
    return add(~a, one)


def subtract(a: Wide, b: Wide) -> Wide:
    """``a - b``, modulo 2^192."""
    return add(a, negative(b))


def transposed(a: Wide) -> Wide:
    """The transposed matrix."""
    return np.swapaxes(a, 0, 1)


def product(a: Wide, b: Wide) -> Wide:
    """The product of two matrices, of shapes (rows, inner) and (inner, columns)."""
    total = _multiplied(a[:, :_EXACT], b[:_EXACT], np.matmul)
    for start in range(_EXACT, a.shape[1], _EXACT):
        total = add(total, _multiplied(a[:, start : start + _EXACT], b[start : start + _EXACT], np.matmul))
    return total


def times(a: Wide, b: Wide) -> Wide:
    """The products of two arrays of one shape, element by element."""
    return _multiplied(a, b, np.multiply)


def _multiplied(a: Wide, b: Wide, multiply: Callable[[Floats, Floats], Floats]) -> Wide:
    left, right = _digits(a), _digits(b)
    digits, carry = [], np.zeros((), np.uint64)
    for place in range(_DIGITS):
        total = sum(multiply(left[low], right[place - low]) for low in range(place + 1))
        whole = np.asarray(np.asarray(total).astype(np.uint64) + carry)
        digits.append((whole & np.uint64(0xFFFF)).astype("<u2"))
        carry = whole >> np.uint64(16)
    return np.ascontiguousarray(np.stack(digits, axis=-1)).view("<u8").astype(np.uint64)


def _digits(a: Wide) -> Floats:
    """The digits of 16 bits, lowest first, in a leading axis."""
    return np.ascontiguousarray(np.moveaxis(np.ascontiguousarray(a, "<u8").view("<u2"), -1, 0)).astype(np.float64)
