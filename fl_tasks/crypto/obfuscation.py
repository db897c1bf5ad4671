"""Random encryptions of zero, which hide the plaintext of a Paillier ciphertext.

The quick kind is h_n^r for a short r (Damgard, Jurik, Nielsen 2010, section 4.2): h_n = (-y^2)^n is fixed per key,
its powers are tabulated, and r is short, but long enough that the search for it takes as long as factoring n. Every
party derives y from n by hashing, so that nobody needs to trust the key holder's choice. The holder of the private
key can attack short exponents: what is sent *to the key holder* after computing on its ciphertexts is refreshed with
the full kind, r^n for r uniform in Z_n*. The holder makes the quick kind modulo p^2 and q^2, in two thirds of the time.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import gmpy2
import numpy as np
from gmpy2 import mpz

from fl_tasks.crypto.halves import Halves, join
from fl_tasks.crypto.paillier import PrivateKey, PublicKey
from fl_tasks.crypto.powers import Powers, Table, kept, tabulate

_WINDOWS = (4, 6, 8, 10, 12, 13, 14)


def exponent_bits(public: PublicKey) -> int:
    """Bits of r: twice the strength of the modulus (NIST SP 800-57 part 1, table 2), so that neither is the weaker."""
    return 224 if public.bits <= 2048 else 256 if public.bits <= 3072 else 304


def _base(public: PublicKey) -> mpz:
    """h_n = (-y^2)^n mod n^2 with y = SHAKE-256(label, n) mod n."""
    shake = hashlib.shake_256(b"tombolo/paillier/obfuscation/1" + public.to_bytes())
    y = mpz.from_bytes(shake.digest(public.residue_width + 16), "big") % public.n
    return gmpy2.powmod(-y * y % public.n, public.n, public.nsquare)


class _Supply:
    """Draws from the table that suits how many were drawn under this key so far: as many are expected to follow."""

    def __init__(self, public: PublicKey) -> None:
        self._public = public
        self._bits = exponent_bits(public)
        self._drawn = 0
        self._window = 0
        self._tables: Sequence[Table] = ()

    def _there(self, window: int) -> bool:
        """Whether tables of this window need not be made."""
        return window == self._window or kept(self._public, self._bits, window)

    def _make(self, window: int) -> Sequence[Table]:
        return (Powers(self._public, _base, self._bits, window),)

    def _cost(self, window: int) -> int:
        rows = -(-self._bits // window)
        return rows * self._drawn + (0 if self._there(window) else rows << window)

    def draw(self, count: int) -> list[list[Halves]]:
        """``count`` fresh powers of h_n, by table."""
        self._drawn += count
        window = min(_WINDOWS, key=self._cost)
        if self._window < window:
            self._window, self._tables = window, self._make(window)
        rows = self._tables[0].rows
        raw = np.frombuffer(secrets.token_bytes(2 * count * rows), dtype="<u2")
        digits = raw.reshape(count, rows).astype(np.int64) & ((1 << self._window) - 1)
        return [table.products(digits) for table in self._tables]


class _HeldSupply(_Supply):
    """The same powers modulo p^2 and modulo q^2, in two tables that are never written down."""

    def __init__(self, private: PrivateKey) -> None:
        super().__init__(private.public)
        self._primes = private.primes

    def _there(self, window: int) -> bool:
        return window == self._window

    def _make(self, window: int) -> Sequence[Table]:
        base = _base(self._public)
        return [Table(prime, window, tabulate(base % prime**2, prime, self._bits, window)) for prime in self._primes]


@lru_cache(maxsize=4)
def _supply(n: int) -> _Supply:
    return _Supply(PublicKey(n))


_held_supply = lru_cache(maxsize=1)(_HeldSupply)


def short_zeros(public: PublicKey, count: int) -> list[Halves]:
    """``count`` encryptions of zero with short exponents, in halves; 15 to 30 multiplications each at 2048 bits."""
    return _supply(int(public.n)).draw(count)[0] if count else []


def held_zeros(private: PrivateKey, count: int) -> list[Any]:
    """The same by the key holder, as numbers modulo n^2."""
    if not count:
        return []
    p, q = private.primes
    square, inverse = p * p, gmpy2.invert(p * p, q * q)
    by_p, by_q = (
        [join(one, prime) for one in found] for found, prime in zip(_held_supply(private).draw(count), (p, q), strict=True)
    )
    return [a + square * ((b - a) * inverse % (q * q)) for a, b in zip(by_p, by_q, strict=True)]


def full_zeros(public: PublicKey, count: int) -> list[Any]:
    """``count`` encryptions of zero r^n with r uniform in Z_n*, as numbers modulo n^2; 11 ms each at 2048 bits."""
    units: list[Any] = []
    while len(units) < count:
        r = mpz(secrets.randbelow(int(public.n)))
        if gmpy2.gcd(r, public.n) == 1:
            units.append(r)
    return [gmpy2.powmod(r, public.n, public.nsquare) for r in units]
