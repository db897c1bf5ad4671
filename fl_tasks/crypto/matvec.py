"""Products X^T [[d]] of a plain integer matrix and an encrypted vector, exact, each column in the cheapest of three ways.

*Buckets* (Pippenger 1976): a column's integers are written in signed digits of w bits. For each digit position the
ciphertexts are multiplied into one bucket per digit value; the product of bucket_k^k then takes two multiplications
per bucket instead of a power per row. For 24-bit integers and 100,000 rows that is a little over two multiplications
per element. Negative digits have buckets of their own: one inversion per column.

*Merging*: rows that are equal in a group of columns are first multiplied together, and the same is done again with
what is left. Columns of few distinct values share such a pass over the rows.

*Powers*: a plain power per ciphertext, for a handful of rows.
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

from fl_tasks.crypto.errors import OutOfRange, WrongShape
from fl_tasks.crypto.halves import ONE, Halves, halve, join, multiply
from fl_tasks.crypto.paillier import PublicKey
from fl_tasks.crypto.pool import INLINE, Pool, Token, attach
from fl_tasks.crypto.vector import CipherVector, inverses

Matrix = npt.NDArray[np.int64]
Group = tuple[list[int], float]
_MULTIPLY_US, _TASK_US = 4.0, 50_000.0
_INTEGER_LIMIT = 1 << 62
_MORE_WORK = 1.25


@lru_cache(maxsize=4096)
def plan(count: int, largest: int) -> tuple[int, int, float]:
    """The cheapest buckets to multiply ``count`` ciphertexts by integers up to ``largest`` in magnitude.

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


def _direct(column: Matrix) -> float:
    """Multiplications that a column takes by itself, without merging."""
    return plan(int(np.count_nonzero(column)), int(np.abs(column).max(initial=0)))[2]


def share_passes(x: Matrix) -> list[Group]:
    """Which columns share a pass over the rows, and the multiplications expected for each such group.

    A column alone in its group may still be merged by its own values.
    """
    groups: list[Group] = []
    few: list[_Costs] = []
    for at, column in enumerate(x.T):
        one = _Costs.of(at, column)
        if one.values**2 < len(x) or one.merged:
            few.append(one)
        else:
            groups.append(([at], one.alone))
    few.sort(key=lambda one: (one.values, one.at))
    while few:
        best, saved = 1, 0.0
        codes, alone, rest = few[0].codes, few[0].alone, few[0].rest
        for count, one in enumerate(few[1:], 2):
            found, codes = np.unique(codes * one.values + one.codes, return_inverse=True)
            alone, rest = alone + one.alone, rest + one.rest
            saving = alone - (len(x) + count * len(found) + rest)
            if saving > saved:
                best, saved = count, saving
            if count * len(found) > len(x):
                break
        members, few = few[:best], few[best:]
        groups.append(([one.at for one in members], sum(one.alone for one in members) - saved))
    return groups


@dataclass(frozen=True)
class _Costs:
    """What a column costs: by itself, and once its rows are merged by value."""

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
    """Signed digits, lowest first; the top digit takes what remains, so that no carry needs a further window."""
    half, mask, digits = 1 << (window - 1), (1 << window) - 1, []
    for _ in range(windows - 1):
        digit = ((column + half) & mask) - half
        column = (column - digit) >> window
        digits.append(digit)
    return [*digits, column]


def _gather(values: list[Halves], places: Sequence[int], count: int, n: mpz) -> list[Halves | None]:
    """``count`` buckets with the products of the values that belong to each; None for those that got none."""
    buckets: list[Any] = [None] * count
    for (high, low), place in zip(values, places, strict=True):
        held = buckets[place]
        if held is None:
            buckets[place] = high, low
        else:
            held_high, held_low = held
            carry, product = divmod(held_low * low, n)
            buckets[place] = (held_low * high + held_high * low + carry) % n, product
    return buckets


def _weighted(buckets: list[Halves | None], signs: range, n: mpz) -> Halves:
    """The product of ``buckets[k]^|k|`` over k of ``signs``, which runs from the largest magnitude down to 1."""
    running, total = None, ONE
    for k in signs:
        bucket = buckets[k]
        if bucket is not None:
            running = bucket if running is None else multiply(running, bucket, n)
        if running is not None:
            total = multiply(total, running, n)
    return total


def _column(values: list[Halves], column: Matrix, n: mpz) -> tuple[Halves, Halves]:
    """Numerator and denominator of the product of ``values[i]^column[i]``."""
    used = np.flatnonzero(column)
    if not len(used):
        return ONE, ONE
    if len(used) < len(column):
        values, column = [values[row] for row in used.tolist()], column[used]
    distinct, codes = np.unique(column, return_inverse=True)
    if len(column) + _direct(distinct) < _direct(column):
        values, column = _merged(values, codes, len(distinct), n), distinct
    window, windows, _ = plan(len(column), int(np.abs(column).max()))
    positive = negative = ONE
    if window == 0:
        for value, factor in zip(values, column.tolist(), strict=True):
            power = _power(value, abs(factor), n)
            if factor > 0:
                positive = multiply(positive, power, n)
            else:
                negative = multiply(negative, power, n)
        return positive, negative
    for digit in reversed(_digits(column, window, windows)):
        positive, negative = _power(positive, 1 << window, n), _power(negative, 1 << window, n)
        high, low = max(int(digit.max()), 0), min(int(digit.min()), 0)
        # index k for k >= 0, and k from the end for k < 0; the bucket of 0 is not looked at
        nonzero = np.flatnonzero(digit)
        chosen = values if len(nonzero) == len(digit) else [values[row] for row in nonzero.tolist()]
        buckets = _gather(chosen, digit[nonzero].tolist(), high - low + 1, n)
        positive = multiply(positive, _weighted(buckets, range(high, 0, -1), n), n)
        negative = multiply(negative, _weighted(buckets, range(low, 0), n), n)
    return positive, negative


def _power(value: Halves, exponent: int, n: mpz) -> Halves:
    return value if value is ONE else divmod(gmpy2.powmod(join(value, n), exponent, n * n), n)


def _merged(values: list[Halves], codes: npt.NDArray[np.intp], count: int, n: mpz) -> list[Halves]:
    """The products of the values of each code; every code has some."""
    return [one for one in _gather(values, codes.tolist(), count, n) if one is not None]


@lru_cache(maxsize=1)
def _decoded(n: int, token: Token) -> tuple[PublicKey, list[Halves]]:
    public = PublicKey(n)
    return public, halve(CipherVector(public, attach(token)).values(), public.n)


def _group(values: list[Halves], matrix: Matrix, n: mpz) -> list[tuple[Halves, Halves]]:
    """Numerators and denominators of a group of columns that share their pass over the rows."""
    if matrix.shape[1] > 1:
        matrix, codes = np.unique(matrix, axis=0, return_inverse=True)
        values = _merged(values, codes.reshape(-1), len(matrix), n)
    return [_column(values, np.ascontiguousarray(column), n) for column in matrix.T]


def _groups(public: PublicKey, values: list[Halves], matrix: Matrix, sizes: Sequence[int]) -> CipherVector:
    """The products of groups of so many columns each, side by side in ``matrix``."""
    bounds = np.cumsum([0, *sizes]).tolist()
    pairs = [pair for start, stop in pairwise(bounds) for pair in _group(values, matrix[:, start:stop], public.n)]
    modulus = public.nsquare
    inverted = inverses([join(negative, public.n) for _, negative in pairs], modulus)
    products = [join(positive, public.n) * inverse % modulus for (positive, _), inverse in zip(pairs, inverted, strict=True)]
    return CipherVector.from_values(public, products)


def _task(n: int, token: Token, columns: bytes, sizes: list[int]) -> bytes:
    """One block of rows and some groups of columns, in a worker; ``columns`` is column-major int64."""
    public, values = _decoded(n, token)
    matrix = np.frombuffer(columns, dtype="<i8").reshape(-1, len(values)).T
    return bytes(_groups(public, values, matrix, sizes).buffer)


def _cost_us(groups: list[Group]) -> float:
    return sum(cost for _, cost in groups) * _MULTIPLY_US


def _batches(groups: list[Group], task_us: float) -> list[list[list[int]]]:
    """Groups of columns worth a task each, the dearest first."""
    batches: list[list[list[int]]] = []
    room = 0.0
    for members, cost in sorted(groups, key=lambda group: -group[1]):
        if room < cost * _MULTIPLY_US:
            batches.append([])
            room = task_us
        batches[-1].append(members)
        room -= cost * _MULTIPLY_US
    return batches


def _cut(pool: Pool, x: Matrix) -> tuple[list[list[list[int]]], int]:
    """Which groups of columns to a task, and into how many blocks the rows are cut.

    Workers elsewhere get blocks of rows, so that every ciphertext travels once, where that takes little more work;
    otherwise so few batches of columns that it does not travel often.
    """
    rows, groups = len(x), share_passes(x)
    whole, cost_us, task_us = [[members for members, _ in groups]], _cost_us(groups), _TASK_US
    if not pool.pays(cost_us):
        return whole, 1
    if not pool.local:
        blocks = min(rows, max(2, pool.workers))
        if blocks * _cost_us(share_passes(x[::blocks])) < _MORE_WORK * cost_us:
            return whole, blocks
        task_us = max(task_us, cost_us / (4 * pool.workers))
    batches = _batches(groups, task_us)
    return batches, min(rows, -(-pool.workers // len(batches)))


def transposed_product(x: Matrix, vector: CipherVector, pool: Pool | None = None) -> CipherVector:
    """X^T [[d]] for x of shape (rows, columns) and a vector of ``rows`` ciphertexts: ``columns`` ciphertexts.

    Deterministic: re-randomise before sending; a column of zeros gives the trivial ciphertext 1. Raises
    :class:`WrongShape` for a matrix that does not fit and :class:`OutOfRange` for integers of 2^62 and above. The
    pool's workers see columns of x.
    """
    if x.ndim != 2 or x.dtype != np.int64 or len(x) != len(vector):
        raise WrongShape(f"A matrix of {x.shape} {x.dtype} for {len(vector)} ciphertexts.")
    public, rows = vector.public, len(x)
    if not x.size:
        return CipherVector.from_values(public, [mpz(1)] * x.shape[1])
    if max(int(x.max()), -int(x.min())) >= _INTEGER_LIMIT:
        raise OutOfRange("An integer does not fit 62 bits.")
    pool = pool or INLINE
    batches, blocks = _cut(pool, x)
    columns = [[column for members in batch for column in members] for batch in batches]
    sizes = [[len(members) for members in batch] for batch in batches]
    order = [column for some in columns for column in some]
    if len(batches) == blocks == 1:
        return _groups(public, halve(vector.values(), public.n), x[:, order], sizes[0]).take(np.argsort(order))
    bounds, width = [rows * i // blocks for i in range(blocks + 1)], public.width
    with pool.share(vector.buffer) as piece:
        tasks = [
            (int(public.n), piece(start * width, stop * width), x[start:stop, some].astype("<i8").tobytes("F"), shared)
            for start, stop in pairwise(bounds)
            for some, shared in zip(columns, sizes, strict=True)
        ]
        found = pool.map(_task, tasks, [width * len(some) for some in columns] * blocks)
    joined = [b"".join(found[i : i + len(batches)]) for i in range(0, len(found), len(batches))]
    return reduce(add, [CipherVector(public, block) for block in joined]).take(np.argsort(order))
