"""The arbiter's supply of full-size encryptions of zero, made when nobody waits, each used once.

Re-randomising with one hides from the key's holder how many ciphertexts were added; to make one takes longer than all the rest of
a question.
"""

from __future__ import annotations

from tombolo.fl_tasks.crypto.paillier import PublicKey
from tombolo.fl_tasks.crypto.pool import Pool
from tombolo.fl_tasks.crypto.vector import CipherVector, fresh_zeros
from tombolo.fl_tasks.protocols.lending_query.keys import Keeping

_PIECE = 8
_HELD = 64


class Supply:
    """Pieces of eight under the key of one series."""

    def __init__(self, keeping: Keeping, series: str, key: PublicKey) -> None:
        self._area, self._key = keeping.area.area("zeros", series), key

    def fill(self, pool: Pool, count: int = _HELD) -> None:
        """Make up for what was used."""
        there = {name for name in self._area.names("piece/") if self._owner(name) is None}
        for _ in range(len(there), -(-count // _PIECE)):
            made = fresh_zeros(self._key, _PIECE, pool)
            self._area.keep(f"piece/{self._next():08d}", bytes(made.buffer))

    def take(self, run: str, count: int, pool: Pool) -> CipherVector:
        """As many as asked for, of this run alone, the same when it is repeated; what is not there is made now."""
        found = CipherVector(self._key, b"")
        for name in self._area.names("piece/"):
            if len(found) >= count:
                break
            data = self._area.get(name)
            if data is not None and self._area.keep(f"owner/{name}", run.encode()) == run.encode():
                found = CipherVector.concatenate([found, CipherVector(self._key, data)])
        if len(found) < count:
            found = CipherVector.concatenate([found, fresh_zeros(self._key, count - len(found), pool)])
        return found[:count]

    def clear(self, run: str) -> None:
        """Delete what a run has used."""
        for name in self._area.names("piece/"):
            if self._owner(name) == run.encode():
                self._area.delete(name)

    def _owner(self, name: str) -> bytes | None:
        return self._area.get(f"owner/{name}")

    def _next(self) -> int:
        numbers = [int(name.rsplit("/", 1)[1]) for name in (*self._area.names("piece/"), *self._area.names("owner/"))]
        return max(numbers, default=-1) + 1
