"""Products X^T [[d]] of a plain integer matrix and an encrypted vector by bucket sums (Pippenger 1976), exact.

A column's integers are written in signed digits of w bits. For each digit position the ciphertexts are multiplied
into one bucket per digit value; the product of bucket_k^k then takes two multiplications per bucket instead of a
power per row. For 24-bit integers and 100,000 rows that is a little over two modular multiplications per element.
Negative digits have buckets of their own: one inversion per column.
"""

from __future__ import annotations

from functools import lru_cache, reduce
from itertools import pairwise
from operator import add
from typing import Any

import gmpy2
import numpy as np
import numpy.typing as npt
from gmpy2 import mpz

from fl_tasks.crypto.errors import OutOfRange, WrongShape
from fl_tasks.crypto.paillier import PublicKey
from fl_tasks.crypto.pool import INLINE, Pool, Token, attach
from fl_tasks.crypto.vector import CipherVector, inverses

_MULTIPLY_US = 6.0
_INTEGER_LIMIT = 1 << 62
_MORE_WORK = 1.25


def plan(count: int, largest: int) -> tuple[int, int, float]:
    """The cheapest way to multiply ``count`` ciphertexts by integers up to ``largest`` in magnitude.

    Returns the window in bits, the number of windows and the expected multiplications; a window of 0 stands for a
    plain power per ciphertext, which wins for a handful of rows.
    """
    bits = largest.bit_length()
    best = (0, 1, 1.1 * bits * count)
    for window in range(1, 19):
        for windows in range(1, bits // window + 2):
            top = (largest >> window * (windows - 1)) + (windows > 1)
            if top > 1 << (window + 1):
                continue
            buckets = 2 * (top + (windows - 1) * (1 << (window - 1)))
            cost = windows * count + buckets + min(buckets, windows * count) + 2.0 * window * (windows - 1)
            if cost < best[2]:
                best = (window, windows, cost)
    return best


def _digits(column: npt.NDArray[np.int64], window: int, windows: int) -> list[npt.NDArray[np.int64]]:
    """Signed digits, lowest first; the top digit takes what remains, so that no carry needs a further window."""
    half, mask, digits = 1 << (window - 1), (1 << window) - 1, []
    for _ in range(windows - 1):
        digit = ((column + half) & mask) - half
        column = (column - digit) >> window
        digits.append(digit)
    return [*digits, column]


def _weighted(buckets: list[Any], signs: range, modulus: mpz) -> mpz:
    """The product of ``buckets[k]^|k|`` over k of ``signs``, which runs from the largest magnitude down to 1."""
    running, total = None, mpz(1)
    for k in signs:
        bucket = buckets[k]
        if bucket is not None:
            running = bucket if running is None else running * bucket % modulus
        if running is not None:
            total = total * running % modulus
    return total


def _column(values: list[Any], column: npt.NDArray[np.int64], modulus: mpz) -> tuple[mpz, mpz]:
    """Numerator and denominator of the product of ``values[i]^column[i]``."""
    rows = np.flatnonzero(column)
    column = column[rows]
    positive = negative = mpz(1)
    if not len(rows):
        return positive, negative
    window, windows, _ = plan(len(rows), int(np.abs(column).max()))
    if window == 0:
        for row, factor in zip(rows.tolist(), column.tolist(), strict=True):
            power = gmpy2.powmod(values[row], abs(factor), modulus)
            if factor > 0:
                positive = positive * power % modulus
            else:
                negative = negative * power % modulus
        return positive, negative
    shift = mpz(1) << window
    for digit in reversed(_digits(column, window, windows)):
        positive, negative = gmpy2.powmod(positive, shift, modulus), gmpy2.powmod(negative, shift, modulus)
        high, low = max(int(digit.max()), 0), min(int(digit.min()), 0)
        buckets: list[Any] = [None] * (high - low + 1)  # index k for k >= 0, and k from the end for k < 0
        used = np.flatnonzero(digit)
        for row, k in zip(rows[used].tolist(), digit[used].tolist(), strict=True):
            held = buckets[k]
            buckets[k] = values[row] if held is None else held * values[row] % modulus
        positive = positive * _weighted(buckets, range(high, 0, -1), modulus) % modulus
        negative = negative * _weighted(buckets, range(low, 0), modulus) % modulus
    return positive, negative


@lru_cache(maxsize=1)
def _decoded(n: int, token: Token) -> tuple[PublicKey, list[Any]]:
    public = PublicKey(n)
    return public, CipherVector(public, attach(token)).values()


def _columns(public: PublicKey, values: list[Any], matrix: npt.NDArray[np.int64]) -> CipherVector:
    modulus = public.nsquare
    pairs = [_column(values, np.ascontiguousarray(column), modulus) for column in matrix.T]
    inverted = inverses([negative for _, negative in pairs], modulus)
    products = [positive * inverse % modulus for (positive, _), inverse in zip(pairs, inverted, strict=True)]
    return CipherVector.from_values(public, products)


def _task(n: int, token: Token, columns: bytes) -> bytes:
    """One block of rows and columns, in a worker; ``columns`` is column-major int64."""
    public, values = _decoded(n, token)
    matrix = np.frombuffer(columns, dtype="<i8").reshape(-1, len(values)).T
    return bytes(_columns(public, values, matrix).buffer)


def _cut(pool: Pool, rows: int, columns: int, largest: int) -> tuple[list[slice], int]:
    """Which columns to a task, and into how many blocks the rows are cut.

    Workers elsewhere get blocks of rows, so that every ciphertext travels once, where that takes little more work.
    """
    cost_us = plan(rows, largest)[2] * _MULTIPLY_US
    pays = pool.pays(columns * cost_us)
    if pays and not pool.local:
        blocks = min(rows, max(2, pool.workers))
        if blocks * plan(-(-rows // blocks), largest)[2] * _MULTIPLY_US < _MORE_WORK * cost_us:
            return [slice(0, columns)], blocks
    parts = pool.split(columns, cost_us)
    return parts, min(rows, -(-pool.workers // len(parts))) if pays else 1


def transposed_product(x: npt.NDArray[np.int64], vector: CipherVector, pool: Pool | None = None) -> CipherVector:
    """X^T [[d]] for x of shape (rows, columns) and a vector of ``rows`` ciphertexts: ``columns`` ciphertexts.

    Deterministic: re-randomise before sending; a column of zeros gives the trivial ciphertext 1. Raises
    :class:`WrongShape` for a matrix that does not fit and :class:`OutOfRange` for integers of 2^62 and above. The
    pool's workers see columns of x.
    """
    if x.ndim != 2 or x.dtype != np.int64 or len(x) != len(vector):
        raise WrongShape(f"A matrix of {x.shape} {x.dtype} for {len(vector)} ciphertexts.")
    rows, columns = x.shape
    if not x.size:
        return CipherVector.from_values(vector.public, [mpz(1)] * columns)
    largest = max(int(x.max()), -int(x.min()))
    if largest >= _INTEGER_LIMIT:
        raise OutOfRange("An integer does not fit 62 bits.")
    pool = pool or INLINE
    parts, blocks = _cut(pool, rows, columns, largest)
    if len(parts) == blocks == 1:
        return _columns(vector.public, vector.values(), x)
    bounds, width = [rows * i // blocks for i in range(blocks + 1)], vector.public.width
    with pool.share(vector.buffer) as piece:
        tasks = [
            (
                int(vector.public.n),
                piece(start * width, stop * width),
                np.asfortranarray(x[start:stop, part]).astype("<i8").tobytes("F"),
            )
            for start, stop in pairwise(bounds)
            for part in parts
        ]
        found = pool.map(_task, tasks, [width * (part.stop - part.start) for part in parts] * blocks)
    joined = [b"".join(found[i : i + len(parts)]) for i in range(0, len(found), len(parts))]
    return reduce(add, [CipherVector(vector.public, block) for block in joined])
