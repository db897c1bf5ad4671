"""Arithmetic modulo 2^192 is that of whole numbers."""

from __future__ import annotations

import numpy as np
import pytest

from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.shares import wide

MODULUS = 1 << wide.BITS
EDGES = [0, 1, -1, 2**64 - 1, 2**64, -(2**64), 2**128 - 1, -(2**128), 2**191 - 1, -(2**191)]


def numbers(*shape: int, label: str = "a") -> np.ndarray:
    return wide.integers(wide.uniform(Prf(b"0" * 32).stream(label), *shape))


def reduced(values: np.ndarray) -> list:
    return [int(one) % MODULUS for one in np.asarray(values, dtype=object).ravel()]


def test_there_and_back():
    edges = np.array(EDGES, dtype=object)
    assert wide.integers(wide.of_integers(edges)).tolist() == EDGES
    assert wide.integers(wide.of_integers(edges + MODULUS)).tolist() == EDGES
    small = np.array([[0, -1, 5], [2**62, -(2**63), 2**63 - 1]])
    assert wide.integers(wide.of(small)).tolist() == small.tolist()
    assert wide.floats(wide.of_integers(edges), 90).tolist() == [float(one) / 2.0**90 for one in EDGES]


def test_sums_and_differences():
    a, b = np.array(EDGES * len(EDGES), dtype=object), np.repeat(np.array(EDGES, dtype=object), len(EDGES))
    x, y = wide.of_integers(a), wide.of_integers(b)
    assert reduced(wide.integers(wide.add(x, y))) == reduced(a + b)
    assert reduced(wide.integers(wide.subtract(x, y))) == reduced(a - b)


def test_products():
    a, b = numbers(4, 6), numbers(6, 3, label="b")
    assert reduced(wide.integers(wide.product(wide.of_integers(a), wide.of_integers(b)))) == reduced(a @ b)
    assert reduced(wide.integers(wide.times(wide.of_integers(a), wide.of_integers(a[::-1])))) == reduced(a * a[::-1])
    transposed = wide.product(wide.transposed(wide.of_integers(b)), wide.transposed(wide.of_integers(a)))
    assert reduced(wide.integers(transposed)) == reduced(b.T @ a.T)


@pytest.mark.parametrize("inner", [1 << 16, (1 << 16) + 3])
def test_the_largest_digits_add_up_exactly(inner):
    """All digits 2^16 - 1, over more products than floating point adds up at a time."""
    most = np.full((1, inner, wide.WORDS), 2**64 - 1, dtype=np.uint64)  # -1
    assert wide.integers(wide.product(most, wide.transposed(most))).tolist() == [[inner]]
