"""Shamir's secret sharing of 32-byte secrets over the field of p = 2^256 + 297, the smallest prime above every such secret.

Any ``threshold`` shares give the secret back; fewer are independent of it (Shamir, CACM 1979).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gmpy2 import invert, mpz

from tombolo.fl_tasks.crypto.prf import Stream

PRIME = mpz(2**256 + 297)
SECRET_BYTES, SHARE_BYTES = 32, 33


def split(secret: bytes, threshold: int, holders: Sequence[int], stream: Stream) -> list[bytes]:
    """Shares of a 32-byte secret for the ``holders``, numbers above 0, 33 bytes each; coefficients come from ``stream``."""
    if len(secret) != SECRET_BYTES or not 1 <= threshold <= len(holders):
        raise ValueError("a secret of 32 bytes, and a threshold between 1 and the number of holders")
    coefficients = [mpz.from_bytes(secret, "big"), *map(mpz, stream.integers_below(int(PRIME), threshold - 1))]
    return [int(_at(coefficients, x)).to_bytes(SHARE_BYTES, "big") for x in holders]


def combine(shares: Mapping[int, bytes]) -> bytes | None:
    """The secret from shares by holder, all of which are used; None for shares that cannot belong to a 32-byte secret."""
    points = {x: mpz.from_bytes(share, "big") for x, share in shares.items()}
    if any(len(share) != SHARE_BYTES for share in shares.values()) or any(y >= PRIME for y in points.values()):
        return None
    total = mpz(0)
    for x, y in points.items():
        above, below = mpz(1), mpz(1)
        for other in points:
            if other != x:
                above, below = above * other % PRIME, below * (other - x) % PRIME
        total += y * above * invert(below, PRIME)
    secret = int(total % PRIME)
    return None if secret >> 256 else secret.to_bytes(SECRET_BYTES, "big")


def _at(coefficients: list[mpz], x: int) -> mpz:
    """The value of the polynomial at x, by Horner's rule."""
    value = mpz(0)
    for coefficient in reversed(coefficients):
        value = (value * x + coefficient) % PRIME
    return value
