"""Paillier keys: generation, validation, wire form, and decryption of single ciphertexts.

Paillier, EUROCRYPT 1999, with g = n + 1. Keys are made with p = q = 3 mod 4 and gcd(p - 1, q - 1) = 2 so that the
short-exponent obfuscation of Damgard, Jurik and Nielsen (2010, section 4.2) applies; any such key also works in
python-paillier (``phe``).
"""

from __future__ import annotations

import hashlib
import secrets
from functools import cached_property, lru_cache
from math import prod
from typing import Any

import gmpy2
from gmpy2 import mpz

from tombolo.fl_tasks.crypto.errors import InvalidCiphertext, MalformedKey, WeakKey

MIN_BITS, MAX_BITS = 2048, 4096
_PUBLIC_V1, _PRIVATE_V1 = 1, 129
_SMALL_PRIMES = prod(p for p in range(3, 1 << 13, 2) if gmpy2.is_prime(p))


def check_size(bits: int, shortest: int) -> None:
    """Raise :class:`WeakKey` for sizes outside ``shortest`` to 4096 bits."""
    if not shortest <= bits <= MAX_BITS:
        raise WeakKey(f"This key has {bits} bits.")


class PublicKey:
    """A Paillier public key n of ``shortest`` bits or more. Raises :class:`WeakKey` or :class:`MalformedKey` for other moduli."""

    def __init__(self, n: int, shortest: int = MIN_BITS) -> None:
        self.n = mpz(n)
        self.bits: int = self.n.bit_length()
        check_size(self.bits, shortest)
        if self.n % 2 == 0 or gmpy2.gcd(self.n, _SMALL_PRIMES) != 1:
            raise MalformedKey("The modulus has a small factor.")
        self.nsquare = self.n * self.n
        self.width: int = (2 * self.bits + 7) // 8
        self.residue_width: int = (self.bits + 7) // 8

    @cached_property
    def key_id(self) -> str:
        """The first 16 hex digits of SHA-256 of n."""
        return hashlib.sha256(self.n.to_bytes(self.residue_width, "big")).hexdigest()[:16]

    def signed(self, residue: mpz) -> int:
        """The integer in (-n/2, n/2) that a residue modulo n stands for."""
        return int(residue - self.n if residue > self.n >> 1 else residue)

    def to_bytes(self) -> bytes:
        """Version byte, then n big-endian without leading zeros."""
        return bytes([_PUBLIC_V1]) + bytes(self.n.to_bytes(self.residue_width, "big"))

    @classmethod
    def from_bytes(cls, data: bytes, shortest: int = MIN_BITS) -> PublicKey:
        """Read and validate a peer's key. Raises :class:`WeakKey` or :class:`MalformedKey`."""
        if len(data) < 2 or data[0] != _PUBLIC_V1 or data[1] == 0:
            raise MalformedKey("The version is unknown, or the key is not in canonical form.")
        check_size(8 * len(data) - 8 - 8 + int(data[1]).bit_length(), shortest)
        public = cls(int.from_bytes(data[1:], "big"), shortest)
        if gmpy2.is_power(public.n) or gmpy2.is_prime(public.n):
            raise MalformedKey("The modulus is not a product of two different primes.")
        return public

    def to_phe(self) -> Any:
        """The same key as a ``phe.PaillierPublicKey``."""
        from phe import PaillierPublicKey

        return PaillierPublicKey(int(self.n))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self.n == other.n

    def __hash__(self) -> int:
        return hash(self.n)

    def __repr__(self) -> str:
        return f"PublicKey({self.key_id}, {self.bits} bits)"


@lru_cache(maxsize=8)
def cached_public(n: int) -> PublicKey:
    """The key of a modulus that this party has accepted before. Workers use it; the length is not checked again."""
    return PublicKey(n, shortest=0)


class PrivateKey:
    """A Paillier private key of ``shortest`` bits or more. Raises :class:`WeakKey` or :class:`MalformedKey` for other p and q."""

    def __init__(self, p: int, q: int, shortest: int = MIN_BITS) -> None:
        self._p, self._q = sorted((mpz(p), mpz(q)))
        if self._p < 3 or self._p == self._q or not (gmpy2.is_prime(self._p) and gmpy2.is_prime(self._q)):
            raise MalformedKey("The factors are not two different primes.")
        self.public = PublicKey(int(self._p * self._q), shortest)
        if gmpy2.gcd(self.public.n, (self._p - 1) * (self._q - 1)) != 1:
            raise MalformedKey("n and phi(n) have a common factor.")
        self._p2, self._q2 = self._p * self._p, self._q * self._q
        self._hp = gmpy2.invert(self._lift(self.public.n + 1, self._p, self._p2), self._p)
        self._hq = gmpy2.invert(self._lift(self.public.n + 1, self._q, self._q2), self._q)
        self._p_inverse = gmpy2.invert(self._p, self._q)

    @staticmethod
    def _lift(c: mpz, prime: mpz, square: mpz) -> mpz:
        """L(c^(prime - 1) mod prime^2) of Paillier's section 7, by a constant-time power."""
        return (gmpy2.powmod_sec(c % square, prime - 1, square) - 1) // prime

    def residue(self, ciphertext: mpz) -> mpz:
        """Decrypt one ciphertext to its residue in [0, n), by the Chinese remainder theorem."""
        if not 0 < ciphertext < self.public.nsquare:
            raise InvalidCiphertext
        mp = self._lift(ciphertext, self._p, self._p2) * self._hp % self._p
        mq = self._lift(ciphertext, self._q, self._q2) * self._hq % self._q
        return mp + self._p * ((mq - mp) * self._p_inverse % self._q)

    def to_bytes(self) -> bytes:
        """Version byte, then p and q big-endian, each of half the length. The result is secret: store it only sealed."""
        width = (max(self._p.bit_length(), self._q.bit_length()) + 7) // 8
        return b"".join([bytes([_PRIVATE_V1]), self._p.to_bytes(width, "big"), self._q.to_bytes(width, "big")])

    @classmethod
    def from_bytes(cls, data: bytes, shortest: int = MIN_BITS) -> PrivateKey:
        """Read the result of :meth:`to_bytes`. Raises :class:`WeakKey` or :class:`MalformedKey`."""
        half, odd = divmod(len(data) - 1, 2)
        if len(data) < 3 or data[0] != _PRIVATE_V1 or odd or half * 16 > MAX_BITS + 16:
            raise MalformedKey("The version is unknown, or the key is not in canonical form.")
        return cls(int.from_bytes(data[1 : 1 + half], "big"), int.from_bytes(data[1 + half :], "big"), shortest)

    def to_phe(self) -> Any:
        """The same key as a ``phe.PaillierPrivateKey``."""
        from phe import PaillierPrivateKey

        return PaillierPrivateKey(self.public.to_phe(), int(self._p), int(self._q))

    @classmethod
    def from_phe(cls, key: Any, shortest: int = MIN_BITS) -> PrivateKey:
        """Make a key from a ``phe.PaillierPrivateKey``. Raises :class:`WeakKey` or :class:`MalformedKey`."""
        return cls(int(key.p), int(key.q), shortest)

    def __repr__(self) -> str:
        return f"PrivateKey(of {self.public!r})"


def _prime(bits: int) -> mpz:
    """A random prime = 3 mod 4 with its two top bits set."""
    while True:
        candidate = mpz(secrets.randbits(bits)) | (mpz(3) << (bits - 2)) | 3
        if gmpy2.gcd(candidate, _SMALL_PRIMES) == 1 and gmpy2.is_prime(candidate, 40):
            return candidate


def generate(bits: int = MIN_BITS, shortest: int = MIN_BITS) -> PrivateKey:
    """A fresh key of exactly ``bits`` bits. Raises :class:`WeakKey` for sizes outside ``shortest`` to 4096."""
    check_size(bits, shortest)
    if bits % 16:
        raise WeakKey("The size must be a multiple of 16.")
    while True:
        p, q = _prime(bits // 2), _prime(bits // 2)
        if abs(p - q).bit_length() > bits // 2 - 100 and gmpy2.gcd(p - 1, q - 1) == 2 and gmpy2.gcd(p * q, (p - 1) * (q - 1)) == 1:
            return PrivateKey(int(p), int(q), shortest)
