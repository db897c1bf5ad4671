"""Products modulo n^2 of numbers in two halves: c = low + high * n, with both below n.

A product takes three multiplications and two divisions of half the length, about three quarters of the time of one
multiplication and one division at full length. The inner loops of the kernels write :func:`multiply` out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gmpy2 import mpz

Halves = tuple[Any, Any]
"""High and low."""
ONE: Halves = (mpz(0), mpz(1))


def halve(values: Iterable[Any], n: mpz) -> list[Halves]:
    """Numbers modulo n^2 in halves."""
    return [divmod(value, n) for value in values]


def join(halves: Halves, n: mpz) -> mpz:
    """The number modulo n^2."""
    return halves[1] + halves[0] * n


def multiply(a: Halves, b: Halves, n: mpz) -> Halves:
    """The product modulo n^2."""
    high, low = a
    other_high, other_low = b
    carry, product = divmod(low * other_low, n)
    return (low * other_high + high * other_low + carry) % n, product
