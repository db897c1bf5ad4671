"""Encryptions of zero that are made before they are needed, by worker processes that are idle while a party waits for its peers."""

from __future__ import annotations

from collections import deque

from tombolo.fl_tasks.crypto.paillier import PublicKey
from tombolo.fl_tasks.crypto.pool import Pending, Pool
from tombolo.fl_tasks.crypto.vector import (
    CipherVector,
    Integers,
    encrypt,
    fresh_zeros,
    full_bytes,
    short_bytes,
    zeros,
)

_PIECE, _EACH_US = {False: 1024, True: 16}, {False: 55.0, True: 11_000.0}
_MOST = 1 << 18


class Ahead:
    """A supply of fresh encryptions of zero under one key: with short exponents, or of ``full`` size. Each is given out once.

    Small amounts, or all if there are no worker processes, are made in this process. Short ones are then made in :meth:`prepare`,
    while the peers are at work. Those of full size are made only in :meth:`take`, because not all of them may be needed.
    """

    def __init__(self, public: PublicKey, pool: Pool, full: bool = False) -> None:
        self._public, self._pool, self._full = public, pool, full
        self._coming: deque[Pending] = deque()
        self._promised = 0
        self._held = CipherVector(public, b"")

    def prepare(self, count: int) -> None:
        """Make or order encryptions until ``count`` are ready or ordered, at most 2^18 (128 MiB at 2048 bits).

        Does not wait for worker processes.
        """
        count = min(count, _MOST)
        piece, make = _PIECE[self._full], full_bytes if self._full else short_bytes
        if not self._pool.pays(count * _EACH_US[self._full]):
            missing = count - self._promised - len(self._held)
            if missing > 0 and not self._full:
                self._held = CipherVector.concatenate([self._held, zeros(self._public, missing)])
            return
        while self._promised + len(self._held) < count:
            size = min(piece, count - self._promised - len(self._held))
            self._coming.append(self._pool.submit(make, (int(self._public.n), size), size * self._public.width))
            self._promised += size

    def encrypt(self, values: Integers) -> CipherVector:
        """The same as :func:`tombolo.fl_tasks.crypto.vector.encrypt`, but uses the encryptions of zero in this supply."""
        if not self._coming and not len(self._held):
            return encrypt(self._public, values, self._pool)
        return self.take(len(values)).add_plain(values)

    def take(self, count: int) -> CipherVector:
        """Give out the next ``count``. Waits for ordered ones, and makes the missing ones now."""
        vectors, there = [self._held], len(self._held)
        while self._coming and there < count:
            made = CipherVector(self._public, self._coming.popleft().result())
            self._promised -= len(made)
            vectors.append(made)
            there += len(made)
        if there < count:
            make = fresh_zeros if self._full else zeros
            vectors.append(make(self._public, count - there, self._pool))
        all_of_them = CipherVector.concatenate(vectors)
        taken, self._held = all_of_them[:count], all_of_them[count:]
        return taken
