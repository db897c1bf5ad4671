"""Random encryptions of zero, which hide the plaintext of a Paillier ciphertext.

The quick kind is h_n^r for a short r (Damgard, Jurik, Nielsen 2010, section 4.2): h_n = (-y^2)^n is fixed per key,
its powers are tabulated, and r has 256 bits, which a generic discrete logarithm search breaks in 2^128 steps. Every
party derives y from n by hashing, so that nobody needs to trust the key holder's choice. The holder of the private
key can attack short exponents: what is sent *to the key holder* after computing on its ciphertexts is refreshed with
the full kind, r^n for r uniform in Z_n*.
"""

from __future__ import annotations

import hashlib
import secrets
from functools import lru_cache
from typing import Any

import gmpy2
import numpy as np
from gmpy2 import mpz

from fl_tasks.crypto.paillier import PublicKey

EXPONENT_BITS = 256
_WINDOWS = (4, 6, 8, 10, 12)


def _base(public: PublicKey) -> mpz:
    """h_n = (-y^2)^n mod n^2 with y = SHAKE-256(label, n) mod n."""
    shake = hashlib.shake_256(b"tombolo/paillier/obfuscation/1" + public.to_bytes())
    y = mpz.from_bytes(shake.digest(public.residue_width + 16), "big") % public.n
    return gmpy2.powmod(-y * y % public.n, public.n, public.nsquare)


class _Table:
    """Powers of h_n: ``rows[i][j] = h_n^(j * 2^(window * i))``."""

    def __init__(self, n: int, window: int) -> None:
        public = PublicKey(n)
        modulus, self.nsquare, self.window = public.nsquare, public.nsquare, window
        power = _base(public)
        self.rows: list[list[Any]] = []
        for _ in range(-(-EXPONENT_BITS // window)):
            row = [mpz(1)]
            for _ in range((1 << window) - 1):
                row.append(row[-1] * power % modulus)
            self.rows.append(row)
            power = row[-1] * power % modulus

    def draw(self, count: int) -> list[Any]:
        """``count`` fresh powers of h_n."""
        modulus, first, rest = self.nsquare, self.rows[0], self.rows[1:]
        raw = np.frombuffer(secrets.token_bytes(2 * count * len(self.rows)), dtype="<u2") & ((1 << self.window) - 1)
        drawn = []
        for digits in raw.reshape(count, len(self.rows)).tolist():
            value = first[digits[0]]
            for row, digit in zip(rest, digits[1:], strict=True):
                value = value * row[digit] % modulus
            drawn.append(value)
        return drawn


_table = lru_cache(maxsize=4)(_Table)
_largest: dict[int, int] = {}


def short_zeros(public: PublicKey, count: int) -> list[Any]:
    """``count`` encryptions of zero with short exponents, as numbers modulo n^2; about 24 multiplications each."""
    if count == 0:
        return []
    n = int(public.n)

    def cost(window: int) -> int:
        return -(-EXPONENT_BITS // window) * (count + (0 if window == _largest.get(n) else 1 << window))

    window = min((w for w in _WINDOWS if w >= _largest.get(n, 0)), key=cost)
    _largest[n] = window
    return _table(n, window).draw(count)


def full_zeros(public: PublicKey, count: int) -> list[Any]:
    """``count`` encryptions of zero r^n with r uniform in Z_n*, as numbers modulo n^2; 11 ms each at 2048 bits."""
    units: list[Any] = []
    while len(units) < count:
        r = mpz(secrets.randbelow(int(public.n)))
        if gmpy2.gcd(r, public.n) == 1:
            units.append(r)
    return [gmpy2.powmod(r, public.n, public.nsquare) for r in units]
