"""Keyed pseudo-random streams: the same key and labels give the same numbers on every machine and on every replay.

A sub-key is HMAC-SHA256(key, labels) with every label typed and length-prefixed; a stream is AES-256 in counter mode
under a sub-key.
"""

from __future__ import annotations

import hmac

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from gmpy2 import mpz

Label = str | int | bytes
_BLOCK = 1 << 18
_ZEROS = bytes(_BLOCK)
"""A block is small, so that it is still in the processor's cache when it is used."""
_DERIVE, _STREAM = b"tombolo/prf/derive/1", b"tombolo/prf/stream/1"


def _encode(labels: tuple[Label, ...]) -> bytes:
    parts = []
    for label in labels:
        if isinstance(label, bool) or not isinstance(label, str | int | bytes):
            raise TypeError("labels are str, int or bytes")
        tag, body = (
            (b"s", label.encode())
            if isinstance(label, str)
            else (b"b", label)
            if isinstance(label, bytes)
            else (b"i", str(label).encode())
        )
        parts.append(tag + len(body).to_bytes(8, "big") + body)
    return b"".join(parts)


class Stream:
    """An endless pseudo-random byte sequence, read from its start. Every method reads the next part of it."""

    def __init__(self, key: bytes) -> None:
        self._keystream = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor()

    def bytes(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        return self._keystream.update(bytes(count))

    def uint64(self, count: int) -> npt.NDArray[np.uint64]:
        """The next ``count`` numbers, uniform modulo 2^64 (8 bytes each, little-endian)."""
        return np.frombuffer(self.bytes(8 * count), dtype="<u8").astype(np.uint64)

    def add_to(self, total: npt.NDArray[np.uint64], sign: int = 1) -> None:
        """Add the next numbers of :meth:`uint64` to all of ``total`` in place, modulo 2^64; subtract if ``sign`` is negative."""
        block = bytearray(_BLOCK + 15)  # ``update_into`` needs 15 bytes more than it writes
        words = np.frombuffer(block, dtype="<u8", count=_BLOCK // 8)
        zeros, apply = memoryview(_ZEROS), np.add if sign > 0 else np.subtract
        for start in range(0, len(total), len(words)):
            part = total[start : start + len(words)]
            self._keystream.update_into(zeros[: 8 * len(part)], block)
            apply(part, words[: len(part)], out=part)

    def integers_below(self, bound: int, count: int) -> list[int]:
        """``count`` integers in [0, bound). Each is reduced from 128 bits more than the bound has, so the bias is below 2^-128."""
        if bound < 1:
            raise ValueError("the bound must be positive")
        width = (int(bound).bit_length() + 135) // 8
        modulus, data, read = mpz(bound), self.bytes(width * count), mpz.from_bytes
        return [int(read(data[i : i + width], "big") % modulus) for i in range(0, len(data), width)]

    def permutation(self, count: int) -> npt.NDArray[np.int64]:
        """A uniform permutation of ``range(count)``: the order of ``count`` random 128-bit keys."""
        keys = self.uint64(2 * count).reshape(count, 2)
        return np.lexsort((keys[:, 1], keys[:, 0])).astype(np.int64)

    def signs(self, count: int) -> npt.NDArray[np.int8]:
        """``count`` uniform signs, -1 or +1."""
        bits = np.unpackbits(np.frombuffer(self.bytes((count + 7) // 8), dtype=np.uint8), count=count)
        return (2 * bits.astype(np.int8) - 1).astype(np.int8)


class Prf:
    """A pseudo-random function under a secret of at least 16 bytes."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 16:
            raise ValueError("the key must have at least 16 bytes")
        self._key = bytes(key)

    def derive(self, *labels: Label) -> bytes:
        """32 bytes that depend on these labels. They are independent of every :meth:`stream`."""
        return hmac.digest(self._key, _DERIVE + _encode(labels), "sha256")

    def stream(self, *labels: Label) -> Stream:
        """The stream of these labels, from its start."""
        return Stream(hmac.digest(self._key, _STREAM + _encode(labels), "sha256"))
