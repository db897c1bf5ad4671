"""Random encryptions of zero, which hide the plaintext of a Paillier ciphertext.

The fast kind is h_n^r for a short r (Damgard, Jurik, Nielsen 2010, section 4.2). h_n = (-y^2)^n is fixed per key, and
its powers are in a table. r is short, but so long that a search for it takes as long as factoring n. Every party
derives y from n by hashing, so that nobody needs to trust the key holder's choice.

The full kind is r^n for r uniform in Z_n*. It is needed for ciphertexts that are sent *to the key holder* after
computing on them, because the holder of the private key can attack short exponents.
"""

from __future__ import annotations

import hashlib
import secrets
from functools import lru_cache
from typing import Any

import gmpy2
import numpy as np
from gmpy2 import mpz

from tombolo.fl_tasks.crypto.factors import Factors
from tombolo.fl_tasks.crypto.paillier import PublicKey, cached_public
from tombolo.fl_tasks.crypto.powers import Powers, kept

_WINDOWS = (4, 6, 8, 10, 12, 13, 14)
_MAKING = 2


def exponent_bits(public: PublicKey) -> int:
    """Bits of r: twice the strength of the modulus (NIST SP 800-57 part 1, table 2), so that both are equally strong."""
    return 224 if public.bits <= 2048 else 256 if public.bits <= 3072 else 304


def _base(public: PublicKey) -> mpz:
    """h_n = (-y^2)^n mod n^2 with y = SHAKE-256(label, n) mod n."""
    shake = hashlib.shake_256(b"tombolo/paillier/obfuscation/1" + public.to_bytes())
    y = mpz.from_bytes(shake.digest(public.residue_width + 16), "big") % public.n
    return gmpy2.powmod(-y * y % public.n, public.n, public.nsquare)


class _Supply:
    """Draws powers of h_n. The table size suits the number drawn under this key so far; as many again are expected."""

    def __init__(self, n: int) -> None:
        self._public = cached_public(n)
        self._bits = exponent_bits(self._public)
        self._drawn = 0
        self._table: Powers | None = None

    def _cost(self, window: int) -> int:
        rows = -(-self._bits // window)
        there = (self._table and self._table.window == window) or kept(self._public, self._bits, window)
        return rows * self._drawn + (0 if there else _MAKING * (rows << window))

    def draw(self, count: int) -> list[Factors]:
        """``count`` fresh powers of h_n."""
        self._drawn += count
        window = min(_WINDOWS, key=self._cost)
        if self._table is None or self._table.window < window:
            self._table = Powers(self._public, _base, self._bits, window)
        table = self._table
        raw = np.frombuffer(secrets.token_bytes(2 * count * table.rows), dtype="<u2")
        return table.products(raw.reshape(count, table.rows).astype(np.int64) & ((1 << table.window) - 1))


_supply = lru_cache(maxsize=4)(_Supply)


def short_zeros(public: PublicKey, count: int) -> list[Factors]:
    """``count`` encryptions of zero with short exponents, in factors; 15 to 30 multiplications each at 2048 bits."""
    return _supply(int(public.n)).draw(count) if count else []


def full_zeros(public: PublicKey, count: int) -> list[Any]:
    """``count`` encryptions of zero r^n with r uniform in Z_n*, as numbers modulo n^2; 11 ms each at 2048 bits."""
    units: list[Any] = []
    while len(units) < count:
        r = mpz(secrets.randbelow(int(public.n)))
        if gmpy2.gcd(r, public.n) == 1:
            units.append(r)
    return [gmpy2.powmod(r, public.n, public.nsquare) for r in units]
