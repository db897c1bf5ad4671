"""The arbiter's supply of full-size encryptions of zero, made when nobody waits, each used once.

Re-randomising with one hides from the key's holder how many ciphertexts were added; to make one takes longer than all the rest of
a question.
"""

from __future__ import annotations

from tombolo.fl_tasks.crypto.paillier import PublicKey
from tombolo.fl_tasks.crypto.pool import Pool
from tombolo.fl_tasks.crypto.vector import CipherVector, fresh_zeros
from tombolo.fl_tasks.protocols.lending_query.keys import Keeping
from tombolo.fl_tasks.protocols.lending_query.state import OWNERS, PIECES
from tombolo.fl_tasks.runtime.state import Item

_PIECE = 8
_HELD = 64


class Supply:
    """Pieces of eight under the key of one series."""

    def __init__(self, keeping: Keeping, series: str, key: PublicKey) -> None:
        self._state, self._key = keeping.state, key
        self._pieces, self._owners = PIECES.of(series), OWNERS.of(series)

    def fill(self, pool: Pool, count: int = _HELD) -> None:
        """Make up for what was used."""
        there = [one for one in self._state.all(self._pieces) if self._owner(one) not in self._state]
        for _ in range(len(there), -(-count // _PIECE)):
            made = fresh_zeros(self._key, _PIECE, pool)
            self._state.keep(self._pieces.of(self._next()), bytes(made.buffer))

    def take(self, run: str, count: int, pool: Pool) -> CipherVector:
        """As many as asked for, of this run alone, the same when it is repeated; what is not there is made now."""
        found = CipherVector(self._key, b"")
        for piece in self._state.all(self._pieces):
            if len(found) >= count:
                break
            data = self._state.get(piece)
            if data is not None and self._state.keep(self._owner(piece), run) == run:
                found = CipherVector.concatenate([found, CipherVector(self._key, data)])
        if len(found) < count:
            found = CipherVector.concatenate([found, fresh_zeros(self._key, count - len(found), pool)])
        return found[:count]

    def clear(self, run: str) -> None:
        """Delete what a run has used."""
        for piece in self._state.all(self._pieces):
            if self._state.get(self._owner(piece)) == run:
                self._state.delete(piece)

    def _owner(self, piece: Item[bytes]) -> Item[str]:
        return self._owners.of(int(piece.key[1]))

    def _next(self) -> int:
        keys = [one.key for one in self._state.all(self._pieces)] + [one.key for one in self._state.all(self._owners)]
        return max((int(number) for _, number in keys), default=-1) + 1
