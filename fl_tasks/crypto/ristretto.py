"""Blinded points in the prime-order group ristretto255 (RFC 9496), as flat buffers of 32-byte encodings.

The group has no cofactor. An exponentiated point reveals nothing about its input if the Diffie-Hellman problem is hard.
Calls of libsodium release the interpreter lock, so vectors are computed in several threads. A secret scalar never leaves
the process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import rbcl

from tombolo.fl_tasks.crypto.errors import InvalidPoint
from tombolo.fl_tasks.crypto.prf import Stream
from tombolo.fl_tasks.crypto.vector import fixed_bytes

POINT_BYTES = 32
_IDENTITY = bytes(POINT_BYTES)
_WORTH_THREADS = 2_000


def hash_to_group(data: bytes, domain: bytes | str) -> bytes:
    """A point whose discrete logarithm nobody knows: SHA-512 of the length-prefixed domain and the data, mapped to the group."""
    label = domain.encode() if isinstance(domain, str) else domain
    digest = hashlib.sha512(len(label).to_bytes(8, "big") + label + data).digest()
    return bytes(rbcl.crypto_core_ristretto255_from_hash(digest))


def hash_all(items: Iterable[bytes], domain: bytes | str, threads: int = 1) -> bytes:
    """The flat buffer of :func:`hash_to_group` of every item, in order (about 20 us each)."""
    listed = list(items)
    return _spread(len(listed), lambda i: hash_to_group(listed[i], domain), threads)


def random_scalar(stream: Stream) -> bytes:
    """A uniform non-zero scalar from the next 64 bytes of a pseudo-random stream (more with negligible probability)."""
    while True:
        scalar = bytes(rbcl.crypto_core_ristretto255_scalar_reduce(stream.bytes(64)))
        if any(scalar):
            return scalar


def invert(scalar: bytes) -> bytes:
    """The scalar that undoes an exponentiation. Raises ``ValueError`` for zero."""
    if len(scalar) != POINT_BYTES or not any(scalar):
        raise ValueError("the scalar must have 32 bytes and must not be zero")
    return bytes(rbcl.crypto_core_ristretto255_scalar_invert(scalar))


def generate(scalar: bytes) -> bytes:
    """The generator raised to a non-zero scalar."""
    return bytes(rbcl.crypto_scalarmult_ristretto255_base(scalar))


def multiply(left: bytes, right: bytes) -> bytes:
    """The product of two valid points."""
    return bytes(rbcl.crypto_core_ristretto255_add(left, right))


def divide(left: bytes, right: bytes) -> bytes:
    """The quotient of two valid points."""
    return bytes(rbcl.crypto_core_ristretto255_sub(left, right))


def _spread(count: int, function: Callable[[int], bytes], threads: int) -> bytes:
    """The joined results of ``function`` for 0 to ``count`` - 1, computed in threads if there are many."""

    def run(start: int, stop: int) -> bytes:
        return b"".join([function(i) for i in range(start, stop)])

    if threads == 1 or count < _WORTH_THREADS:
        return run(0, count)
    bounds = [count * i // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads) as executor:
        return b"".join(executor.map(run, bounds[:-1], bounds[1:]))


def _each(points: bytes | memoryview, function: Callable[[bytes], bytes], threads: int) -> bytes:
    """Apply a function to every point of a flat buffer."""
    data = bytes(points)
    count, rest = divmod(len(data), POINT_BYTES)
    if rest:
        raise InvalidPoint("The buffer is not a whole number of points.")
    return _spread(count, lambda i: function(data[i * POINT_BYTES : (i + 1) * POINT_BYTES]), threads)


def exponentiate(points: bytes | memoryview, scalar: bytes, threads: int = 1) -> bytes:
    """Every point of a flat buffer raised to the scalar, in order (about 70 us each). Raises :class:`InvalidPoint`.

    Invalid encodings and the identity are refused, so a peer's buffer needs no separate :func:`validate`.
    """

    def power(point: bytes) -> bytes:
        try:
            result = bytes(rbcl.crypto_scalarmult_ristretto255(scalar, point))
        except (RuntimeError, TypeError, ValueError):
            raise InvalidPoint from None
        if result == _IDENTITY:
            raise InvalidPoint
        return result

    return _each(points, power, threads)


def validate(points: bytes | memoryview, threads: int = 1) -> None:
    """Raise :class:`InvalidPoint` unless every encoding is canonical, on the curve and not the identity."""

    def check(point: bytes) -> bytes:
        if point == _IDENTITY or not rbcl.crypto_core_ristretto255_is_valid_point(point):
            raise InvalidPoint
        return b""

    _each(points, check, threads)


def split(points: bytes) -> list[bytes]:
    """A flat buffer as single points."""
    return [points[at : at + POINT_BYTES] for at in range(0, len(points), POINT_BYTES)]


def points_to_arrow(points: bytes | memoryview) -> pa.FixedSizeBinaryArray:
    """A flat buffer as a fixed-size binary array."""
    count, rest = divmod(len(points), POINT_BYTES)
    if rest:
        raise InvalidPoint("The buffer is not a whole number of points.")
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(POINT_BYTES), count, [None, pa.py_buffer(points)])


def points_from_arrow(array: pa.Array | pa.ChunkedArray, threads: int = 1) -> bytes:
    """Check and read a peer's column (plain or extension type) as a flat buffer. Raises :class:`InvalidPoint`."""
    points = fixed_bytes(array, POINT_BYTES, InvalidPoint)
    validate(points, threads)
    return points
