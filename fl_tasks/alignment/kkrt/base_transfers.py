"""512 oblivious transfers of keys over ristretto255, with two messages (Masny and Rindal, CCS 2019, figure 8: "endemic" OT).

For each transfer the chooser sends two points and can open only one of them: for its bit c it draws a uniform r_(1-c) and sets r_c
= t G - H_c(r_(1-c)). The offerer answers A = a G. Its two keys are the hashes of a (r_b + H_b(r_(1-b))) for b = 0 and 1; the
chooser can compute only the key for b = c, from t A. The choice is hidden unconditionally, because both points are uniform. The
other key is hidden under the computational Diffie-Hellman assumption if the hashes are random oracles. All transfers use the same
A: every hash includes the number of the transfer, and every key includes the points of both parties. Points are written additively.
"""

from __future__ import annotations

import hashlib

import numpy as np

from tombolo.fl_tasks.crypto import ristretto
from tombolo.fl_tasks.crypto.prf import Stream

TRANSFERS = 512
CHOICE_BYTES = TRANSFERS // 8
_DOMAIN = b"tombolo/alignment/base transfer/1/"


class Chooser:
    """The side that gets one key of every pair. ``choices`` has one bit for each pair, least significant bit first."""

    def __init__(self, stream: Stream, salt: bytes) -> None:
        self.choices = stream.bytes(CHOICE_BYTES)
        self._salt = salt
        self._bits = np.unpackbits(np.frombuffer(self.choices, np.uint8), bitorder="little").tolist()
        self._scalars = [ristretto.random_scalar(stream) for _ in self._bits]
        self.points: tuple[list[bytes], list[bytes]] = ([], [])
        for number, (bit, scalar) in enumerate(zip(self._bits, self._scalars, strict=True)):
            closed = ristretto.hash_to_group(stream.bytes(64), _DOMAIN + b"random")
            opened = ristretto.divide(ristretto.generate(scalar), _hash(salt, number, bit, closed))
            self.points[bit].append(opened)
            self.points[1 - bit].append(closed)

    def keys(self, answer: bytes) -> list[bytes]:
        """The chosen key of each pair (32 bytes), from the offerer's valid point."""
        shared = [ristretto.exponentiate(answer, scalar) for scalar in self._scalars]
        pairs = zip(*self.points, strict=True)
        return [
            _key(self._salt, at, bit, pair, answer, shared[at])
            for at, (bit, pair) in enumerate(zip(self._bits, pairs, strict=True))
        ]


def offer(scalar: bytes, zeros: list[bytes], ones: list[bytes], salt: bytes) -> tuple[bytes, list[bytes], list[bytes]]:
    """The offerer's point and both keys of each pair, from the chooser's valid points. Raises InvalidPoint."""
    answer = ristretto.generate(scalar)
    keys: tuple[list[bytes], list[bytes]] = ([], [])
    for number, pair in enumerate(zip(zeros, ones, strict=True)):
        for bit in (0, 1):
            base = ristretto.multiply(pair[bit], _hash(salt, number, bit, pair[1 - bit]))
            keys[bit].append(_key(salt, number, bit, pair, answer, ristretto.exponentiate(base, scalar)))
    return answer, *keys


def _hash(salt: bytes, number: int, bit: int, point: bytes) -> bytes:
    return ristretto.hash_to_group(point, _DOMAIN + salt + bytes((number >> 8, number & 255, bit)))


def _key(salt: bytes, number: int, bit: int, pair: tuple[bytes, bytes], answer: bytes, shared: bytes) -> bytes:
    place = _DOMAIN + salt + bytes((number >> 8, number & 255, bit))
    return hashlib.sha256(place + pair[0] + pair[1] + answer + shared).digest()
