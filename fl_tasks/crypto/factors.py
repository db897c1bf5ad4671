"""Numbers modulo n^2 as products c = u (1 + v n), both u and v below n.

In a product of many numbers, the v are only added: (1 + v n)(1 + v' n) = 1 + (v + v') n. The u are half as long as the numbers, so
that a multiplication takes little more than half the time. Computing v = (c div n) / u mod n takes two or three such
multiplications, with one inversion for all numbers together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gmpy2
from gmpy2 import mpz

from tombolo.fl_tasks.crypto.errors import InvalidCiphertext
from tombolo.fl_tasks.crypto.paillier import PublicKey

Factors = tuple[Any, Any]
"""u and v. In a product of several numbers, u is reduced modulo n^2 and v is not reduced."""


def factor(public: PublicKey, values: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The u and the v of numbers modulo n^2. Raises :class:`InvalidCiphertext` if a number is not invertible."""
    n, high, low = public.n, [], []
    for value in values:
        quotient, remainder = divmod(value, n)
        high.append(quotient)
        low.append(remainder)
    return low, [quotient * inverse % n for quotient, inverse in zip(high, inverses(low, n), strict=True)]


def join(public: PublicKey, u: mpz, v: int) -> mpz:
    """u (1 + v n) mod n^2, without a multiplication of full size."""
    return (u + public.n * (u * v % public.n)) % public.nsquare


def inverses(values: Sequence[Any], modulus: mpz) -> list[Any]:
    """The inverses modulo ``modulus``, by one inversion in all and three multiplications per value (Montgomery's trick).

    Raises :class:`InvalidCiphertext` if a value is not invertible.
    """
    prefix = [mpz(1)]
    for value in values:
        prefix.append(prefix[-1] * value % modulus)
    try:
        running = gmpy2.invert(prefix[-1], modulus)
    except ZeroDivisionError:
        raise InvalidCiphertext("A value is not invertible.") from None
    inverted = []
    for value, before in zip(reversed(values), reversed(prefix[:-1]), strict=True):
        inverted.append(running * before % modulus)
        running = running * value % modulus
    return inverted[::-1]
