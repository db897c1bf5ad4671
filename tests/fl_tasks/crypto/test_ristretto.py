"""ristretto255: vectors of RFC 9496, blinding and unblinding, hostile points."""

import hashlib

import pyarrow as pa
import pytest
import rbcl

from tombolo.fl_tasks.crypto.errors import InvalidPoint
from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.crypto.ristretto import (
    exponentiate,
    hash_all,
    hash_to_group,
    invert,
    points_from_arrow,
    points_to_arrow,
    random_scalar,
    validate,
)

STREAM = Prf(b"r" * 32).stream
GENERATOR = bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76")
TWICE = bytes.fromhex("6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919")
HOSTILE = {
    "identity": bytes(32),
    "non-canonical": b"\xff" * 32,
    "p itself": bytes.fromhex("ed" + "ff" * 30 + "7f"),
    "negative": b"\x01" + bytes(31),
    "not square": bytes.fromhex("26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371"),
}


def test_vectors_of_the_rfc():
    text = b"Ristretto is traditionally a short shot of espresso coffee"
    point = rbcl.crypto_core_ristretto255_from_hash(hashlib.sha512(text).digest())
    assert point.hex() == "3066f82a1a747d45120d1740f14358531a8f04bbffe6a819f86dfe50f44a0a46"
    assert exponentiate(GENERATOR, b"\x02" + bytes(31)) == TWICE


def test_hash_to_group_is_fixed_and_separated():
    assert hash_to_group(b"alice", "tombolo/test").hex() == "10e0dc51bf11219dc3b859699ca6034a18a0046ddfa698b270f5aa9d73b45c38"
    assert hash_to_group(b"alice", b"tombolo/test") == hash_to_group(b"alice", "tombolo/test")
    assert hash_to_group(b"ab", "c") != hash_to_group(b"b", "ca")
    assert hash_all([b"a", b"b"], "d") == hash_to_group(b"a", "d") + hash_to_group(b"b", "d")


def test_exponents_commute_and_are_undone():
    points = hash_all([str(i).encode() for i in range(10)], "test")
    a, b = random_scalar(STREAM("a")), random_scalar(STREAM("b"))
    assert a != b
    assert a == random_scalar(STREAM("a"))
    assert exponentiate(exponentiate(points, a), b) == exponentiate(exponentiate(points, b), a)
    assert exponentiate(exponentiate(points, a), invert(a)) == points
    with pytest.raises(ValueError, match="must not be zero"):
        invert(bytes(32))


def test_threads_give_the_same():
    points, a = hash_all([str(i).encode() for i in range(2001)], "test"), random_scalar(STREAM("a"))
    assert exponentiate(points, a, threads=3) == exponentiate(points, a)


@pytest.mark.parametrize("bad", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_points_are_refused(bad):
    good, scalar = hash_to_group(b"x", "test"), random_scalar(STREAM("a"))
    validate(good)
    for attempt in (validate, lambda points: exponentiate(points, scalar)):
        with pytest.raises(InvalidPoint, match="TMB-CRYPTO-007"):
            attempt(good + bad)
    with pytest.raises(InvalidPoint):
        points_from_arrow(pa.array([good, bad], pa.binary(32)))


def test_arrow_round_trip():
    points = hash_all([b"a", b"b", b"c"], "test")
    array = points_to_arrow(points)
    assert array.type == pa.binary(32)
    assert len(array) == 3
    assert points_from_arrow(array[1:]) == points[32:]
    for bad in (pa.array([None], pa.binary(32)), pa.array([b"a" * 31], pa.binary(31))):
        with pytest.raises(InvalidPoint):
            points_from_arrow(bad)
    for cut in (points[:-1], points + b"x"):
        with pytest.raises(InvalidPoint):
            validate(cut)
        with pytest.raises(InvalidPoint):
            points_to_arrow(cut)
