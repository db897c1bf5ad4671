"""Exact products X^T [[d]] of a plain integer matrix and an encrypted vector. Each column uses the cheapest of three methods.

*Buckets* (Pippenger 1976): a column's integers are written in signed digits of w bits. For each digit position, the
ciphertexts are multiplied into one bucket per digit value. Then the product of all bucket_k^k takes two multiplications
per bucket, instead of a power per row. For 24-bit integers and 100,000 rows that is a little over two multiplications
per element. Negative digits have buckets of their own, which costs one inversion per column.

*Merging*: rows that are equal in a group of columns are first multiplied together. Columns with few distinct
values share such a pass over the rows. Then each column merges its own equal values in the same way.

*Powers*: a plain power per ciphertext, for very few rows.

If there are many passes, ciphertexts are split into factors (:mod:`tombolo.fl_tasks.crypto.factors`). The passes then multiply
only the first factors u. NumPy adds up the second factors v, weighted by the columns' integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import pairwise
from operator import add
from typing import Any

import gmpy2
import numpy as np
import numpy.typing as npt
from gmpy2 import mpz

from tombolo.fl_tasks.crypto.errors import OutOfRange, WrongShape
from tombolo.fl_tasks.crypto.factors import factor, inverses, join
from tombolo.fl_tasks.crypto.paillier import cached_public
from tombolo.fl_tasks.crypto.pool import INLINE, Pool, Token, attach
from tombolo.fl_tasks.crypto.vector import CipherVector

Matrix = npt.NDArray[np.int64]
Group = tuple[list[int], float]
_FULL_US, _MULTIPLY_US, _FACTOR_US, _TASK_US = 4.4, 2.7, 7.5, 50_000.0
_INTEGER_LIMIT = 1 << 62
_MORE_WORK = 1.25
_SUM_DIGIT, _SUM_ROWS = 24, 1 << 8


@lru_cache(maxsize=4096)
def plan(count: int, largest: int) -> tuple[int, int, float]:
    """The cheapest way to multiply ``count`` ciphertexts by integers up to ``largest`` in magnitude with buckets.

    Returns the window in bits, the number of windows and the expected multiplications. A window of 0 means a
    plain power per ciphertext, which is cheapest for very few rows.
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


def _direct(column: Matrix) -> float:
    """The number of multiplications for a column, without merging."""
    return plan(int(np.count_nonzero(column)), int(np.abs(column).max(initial=0)))[2]


def share_passes(x: Matrix) -> list[Group]:
    """Which columns share a pass over the rows, and the expected multiplications of each such group.

    In a group of one column, rows with equal values may still be merged.
    """
    groups: list[Group] = []
    few: list[_Costs] = []
    for at, column in enumerate(x.T):
        costs = _Costs.of(at, column)
        if costs.values**2 < len(x) or costs.merged:
            few.append(costs)
        else:
            groups.append(([at], costs.alone))
    few.sort(key=lambda costs: (costs.values, costs.at))
    while few:
        best, saved = 1, 0.0
        codes, alone, rest = few[0].codes, few[0].alone, few[0].rest
        for count, costs in enumerate(few[1:], 2):
            distinct, codes = np.unique(codes * costs.values + costs.codes, return_inverse=True)
            alone, rest = alone + costs.alone, rest + costs.rest
            saving = alone - (len(x) + count * len(distinct) + rest)
            if saving > saved:
                best, saved = count, saving
            if count * len(distinct) > len(x):
                break
        members, few = few[:best], few[best:]
        groups.append(([costs.at for costs in members], sum(costs.alone for costs in members) - saved))
    return groups


@dataclass(frozen=True)
class _Costs:
    """The cost of a column: ``alone``, and ``rest`` after a pass that has merged rows with equal values."""

    at: int
    values: int
    codes: npt.NDArray[np.intp]
    alone: float
    rest: float
    merged: bool

    @classmethod
    def of(cls, at: int, column: Matrix) -> _Costs:
        values, codes = np.unique(column, return_inverse=True)
        direct, rest = _direct(column), _direct(values)
        merged = np.count_nonzero(column) + rest
        return cls(at, len(values), codes, min(direct, merged), rest, bool(merged < direct))


def _digits(column: Matrix, window: int, windows: int) -> list[Matrix]:
    """Signed digits, lowest first. The top digit takes the remainder, so that no carry needs another window."""
    half, mask, digits = 1 << (window - 1), (1 << window) - 1, []
    for _ in range(windows - 1):
        digit = ((column + half) & mask) - half
        column = (column - digit) >> window
        digits.append(digit)
    return [*digits, column]


def _gather(values: Sequence[Any], places: Sequence[int], count: int, modulus: mpz) -> list[Any]:
    """``count`` buckets. Each has the product of the values with its place."""
    buckets = [mpz(1)] * count
    for value, place in zip(values, places, strict=True):
        buckets[place] = buckets[place] * value % modulus
    return buckets


def _weighted(buckets: Sequence[Any], signs: range, modulus: mpz) -> mpz:
    """The product of ``buckets[k]^|k|`` over k of ``signs``, which runs from the largest magnitude down to 1."""
    running = total = mpz(1)
    for k in signs:
        running = running * buckets[k] % modulus
        total = total * running % modulus
    return total


def _column(values: Sequence[Any], column: Matrix, modulus: mpz) -> tuple[mpz, mpz]:
    """Numerator and denominator of the product of ``values[i]^column[i]``."""
    positive = negative = mpz(1)
    used = np.flatnonzero(column)
    if not len(used):
        return positive, negative
    if len(used) < len(column):
        values, column = [values[row] for row in used.tolist()], column[used]
    distinct, codes = np.unique(column, return_inverse=True)
    if len(column) + _direct(distinct) < _direct(column):
        values, column = _gather(values, codes.tolist(), len(distinct), modulus), distinct
    window, windows, _ = plan(len(column), int(np.abs(column).max()))
    if window == 0:
        for value, factor in zip(values, column.tolist(), strict=True):
            power = gmpy2.powmod(value, abs(factor), modulus)
            if factor > 0:
                positive = positive * power % modulus
            else:
                negative = negative * power % modulus
        return positive, negative
    for digit in reversed(_digits(column, window, windows)):
        positive, negative = (gmpy2.powmod(side, 1 << window, modulus) for side in (positive, negative))
        high, low = max(int(digit.max()), 0), min(int(digit.min()), 0)
        # bucket of digit k: index k for k >= 0, and k from the end for k < 0; the bucket of 0 is not used
        nonzero = np.flatnonzero(digit)
        chosen = values if len(nonzero) == len(digit) else [values[row] for row in nonzero.tolist()]
        buckets = _gather(chosen, digit[nonzero].tolist(), high - low + 1, modulus)
        positive = positive * _weighted(buckets, range(high, 0, -1), modulus) % modulus
        negative = negative * _weighted(buckets, range(low, 0), modulus) % modulus
    return positive, negative


class _Rows:
    """The ciphertexts of some rows. If ``factored``, they are split into factors (:mod:`tombolo.fl_tasks.crypto.factors`)."""

    def __init__(self, vector: CipherVector, factored: bool) -> None:
        self.public, self.values = vector.public, vector.values()
        self._second: npt.NDArray[np.uint32] | None = None
        if factored:
            self.values, second = factor(self.public, self.values)
            limbs = -(-self.public.bits // 32)
            data = b"".join([number.to_bytes(4 * limbs, "little") for number in second])
            self._second = np.frombuffer(data, dtype="<u4").reshape(-1, limbs)

    def second(self, matrix: Matrix) -> list[int]:
        """For each column, the exact sum of the second factors times its integers; 0 if the rows are not factored.

        Limbs of 32 bits are multiplied by digits of 24 bits, with so few rows at a time that no sum reaches 2^63.
        """
        if self._second is None:
            return [0] * matrix.shape[1]
        sums = np.zeros((matrix.shape[1], self._second.shape[1]), dtype=object)
        for start in range(0, len(matrix), _SUM_ROWS):
            limbs = self._second[start : start + _SUM_ROWS].astype(np.int64)
            block, shift = matrix[start : start + _SUM_ROWS], 0
            while block.any():
                digit, block = _digits(block, _SUM_DIGIT, 2)
                sums += np.einsum("ij,ik->jk", digit, limbs).astype(object) << shift
                shift += _SUM_DIGIT
        return [sum(limb << 32 * at for at, limb in enumerate(row)) for row in sums.tolist()]


@lru_cache(maxsize=1)
def _decoded(n: int, token: Token, factored: bool) -> _Rows:
    return _Rows(CipherVector(cached_public(n), attach(token)), factored)


def _group(values: Sequence[Any], matrix: Matrix, modulus: mpz) -> list[tuple[mpz, mpz]]:
    """Numerators and denominators of a group of columns that share a pass over the rows."""
    if matrix.shape[1] > 1:
        matrix, codes = np.unique(matrix, axis=0, return_inverse=True)
        values = _gather(values, codes.reshape(-1).tolist(), len(matrix), modulus)
    return [_column(values, np.ascontiguousarray(column), modulus) for column in matrix.T]


def _groups(rows: _Rows, matrix: Matrix, sizes: Sequence[int]) -> CipherVector:
    """The products of groups of columns. ``sizes`` has the number of columns of each group, in the order of ``matrix``."""
    public, modulus = rows.public, rows.public.nsquare
    bounds = np.cumsum([0, *sizes]).tolist()
    pairs = [pair for start, stop in pairwise(bounds) for pair in _group(rows.values, matrix[:, start:stop], modulus)]
    inverted = inverses([negative for _, negative in pairs], modulus)
    firsts = [positive * inverse % modulus for (positive, _), inverse in zip(pairs, inverted, strict=True)]
    return CipherVector.from_values(public, [join(public, u, v) for u, v in zip(firsts, rows.second(matrix), strict=True)])


def _task(n: int, token: Token, factored: bool, columns: bytes, sizes: list[int]) -> bytes:
    """The products of one block of rows and some groups of columns, in a worker. ``columns`` is column-major int64."""
    rows = _decoded(n, token, factored)
    matrix = np.frombuffer(columns, dtype="<i8").reshape(-1, len(rows.values)).T
    return bytes(_groups(rows, matrix, sizes).buffer)


def _expected(groups: list[Group]) -> float:
    return sum(multiplications for _, multiplications in groups)


def _pays_to_factor(multiplications: float, rows: int) -> bool:
    return multiplications * (_FULL_US - _MULTIPLY_US) > rows * _FACTOR_US


def _cost_us(multiplications: float, rows: int) -> float:
    """The time of multiplications by the ciphertexts of ``rows`` rows. The ciphertexts are factored if that saves time."""
    return min(multiplications * _FULL_US, multiplications * _MULTIPLY_US + rows * _FACTOR_US)


def _batches(groups: list[Group], task_us: float) -> list[list[list[int]]]:
    """Batches of groups of columns. Each batch is worth a task. The most expensive groups come first."""
    batches: list[list[list[int]]] = []
    room = 0.0
    for members, cost in sorted(groups, key=lambda group: -group[1]):
        if room < cost * _MULTIPLY_US:
            batches.append([])
            room = task_us
        batches[-1].append(members)
        room -= cost * _MULTIPLY_US
    return batches


def _cut(pool: Pool, x: Matrix) -> tuple[list[list[list[int]]], int, bool]:
    """The batches of columns, the number of blocks of rows, and whether ciphertexts are factored.

    With blocks of rows, each ciphertext is sent once and factored by one worker only. With batches of columns, a smaller
    part of the work is in buckets.
    """
    rows, groups = len(x), share_passes(x)
    whole, total = [[members for members, _ in groups]], _expected(groups)
    if not pool.pays(_cost_us(total, rows)):
        return whole, 1, _pays_to_factor(total, rows)
    blocks = min(rows, max(2, pool.workers))
    piece, share = _expected(share_passes(x[::blocks])), total / pool.workers
    by_rows, by_columns = blocks * _cost_us(piece, rows // blocks), pool.workers * _cost_us(share, rows)
    if by_rows < by_columns * (1.0 if pool.local else _MORE_WORK):
        return whole, blocks, _pays_to_factor(piece, rows // blocks)
    task_us = _TASK_US if pool.local else max(_TASK_US, by_columns / (4 * pool.workers))
    batches = _batches(groups, task_us)
    return batches, min(rows, -(-pool.workers // len(batches))), _pays_to_factor(share, rows)


def transposed_product(x: Matrix, vector: CipherVector, pool: Pool | None = None) -> CipherVector:
    """X^T [[d]] for x of shape (rows, columns) and a vector of ``rows`` ciphertexts: ``columns`` ciphertexts.

    The result is deterministic, and a column of zeros gives the trivial ciphertext 1: re-randomise before sending. Raises
    :class:`WrongShape` for a matrix that does not fit and :class:`OutOfRange` for integers of 2^62 and above. The
    pool's workers see columns of x.
    """
    if x.ndim != 2 or x.dtype != np.int64 or len(x) != len(vector):
        raise WrongShape(f"A matrix of shape {x.shape} and type {x.dtype} does not fit {len(vector)} ciphertexts.")
    public, rows = vector.public, len(x)
    if not x.size:
        return CipherVector.from_values(public, [mpz(1)] * x.shape[1])
    if max(int(x.max()), -int(x.min())) >= _INTEGER_LIMIT:
        raise OutOfRange("An integer does not fit in 62 bits.")
    pool = pool or INLINE
    batches, blocks, factored = _cut(pool, x)
    columns = [[column for members in batch for column in members] for batch in batches]
    sizes = [[len(members) for members in batch] for batch in batches]
    order = [column for some in columns for column in some]
    if len(batches) == blocks == 1:
        return _groups(_Rows(vector, factored), x[:, order], sizes[0]).take(np.argsort(order))
    bounds, width = [rows * i // blocks for i in range(blocks + 1)], public.width
    with pool.share(vector.buffer) as piece:
        tasks = [
            (int(public.n), piece(start * width, stop * width), factored, x[start:stop, some].astype("<i8").tobytes("F"), shared)
            for start, stop in pairwise(bounds)
            for some, shared in zip(columns, sizes, strict=True)
        ]
        buffers = pool.map(_task, tasks, [width * len(some) for some in columns] * blocks)
    joined = [b"".join(buffers[i : i + len(batches)]) for i in range(0, len(buffers), len(batches))]
    return reduce(add, [CipherVector(public, block) for block in joined]).take(np.argsort(order))
