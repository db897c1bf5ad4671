"""Any threshold of shares gives the secret back; fewer say nothing of it."""

from __future__ import annotations

from itertools import combinations

import pytest
from gmpy2 import is_prime
from hypothesis import given
from hypothesis import strategies as st

from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.learning.horizontal.secagg.shamir import PRIME, combine, split

SECRETS = st.binary(min_size=32, max_size=32)


def stream(seed: bytes = bytes(32)):
    return Prf(seed).stream("shares")


def test_the_field_is_the_smallest_above_every_secret():
    assert is_prime(PRIME)
    assert not any(is_prime(2**256 + step) for step in range(297))


@given(SECRETS, st.data())
def test_any_threshold_of_shares_gives_the_secret_back(secret, data):
    holders = data.draw(st.integers(1, 12))
    threshold = data.draw(st.integers(1, holders))
    shares = dict(enumerate(split(secret, threshold, range(1, holders + 1), stream()), start=1))
    chosen = data.draw(st.permutations(sorted(shares)))[: data.draw(st.integers(threshold, holders))]
    assert combine({x: shares[x] for x in chosen}) == secret


@given(SECRETS, SECRETS)
def test_fewer_shares_fit_every_secret(secret, other):
    """For t-1 shares and any other secret there is a polynomial: the share that is missing for it exists."""
    shares = dict(enumerate(split(secret, 3, range(1, 6), stream()), start=1))
    known = {1: shares[1], 4: shares[4]}
    x0, (x1, y1), (x2, y2) = 2, (1, int.from_bytes(known[1], "big")), (4, int.from_bytes(known[4], "big"))
    p, s = int(PRIME), int.from_bytes(other, "big")
    slope = ((y1 - s) * pow(x1, -1, p) - (y2 - s) * pow(x2, -1, p)) * pow(x1 - x2, -1, p) % p
    linear = ((y1 - s) * pow(x1, -1, p) - slope * x1) % p
    missing = (s + linear * x0 + slope * x0 * x0) % p
    assert combine({**known, x0: missing.to_bytes(33, "big")}) == other


def test_shares_that_cannot_be_are_none():
    secret = bytes(range(32))
    one, two, three = split(secret, 3, (1, 2, 3), stream())
    assert combine({1: one, 2: two, 3: three}) == secret
    assert combine({1: one, 2: two, 3: three[:-1] + bytes([three[-1] ^ 1])}) != secret
    assert combine({1: one, 2: two, 3: b"\xff" * 33}) is None
    assert combine({1: one, 2: two, 3: three[1:]}) is None


def test_vector():
    """Shares of a fixed secret and stream: another version must give the same."""
    shares = split(bytes(range(32)), 2, (1, 2, 3), stream(b"\x07" * 32))
    assert [share.hex() for share in shares] == VECTOR
    for pair in combinations(range(3), 2):
        assert combine({x + 1: shares[x] for x in pair}) == bytes(range(32))


VECTOR = [
    "00e120103bfb3eee6f57193d30d8a8ef93041ae0df380122b9734a6063a9e408f4",
    "00c23f1e74f278d6d7a6297056a544d116f824afab5bed2f5bce7ba6ac37aaf2a0",
    "00a35e2cade9b2bf3ff539a37c71e0b29aec2e7e777fd93bfe29acecf4c571dc4c",
]


@pytest.mark.parametrize(("secret", "threshold"), [(b"short", 2), (bytes(32), 0), (bytes(32), 4)])
def test_what_cannot_be_shared(secret, threshold):
    with pytest.raises(ValueError):
        split(secret, threshold, (1, 2, 3), stream())
