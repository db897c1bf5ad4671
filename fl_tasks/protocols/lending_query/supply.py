"""The supply of full-size encryptions of zero at the arbiter. They are made while nobody waits, and each is used once.

Re-randomising a sum with an encryption of zero hides from the key holder how many ciphertexts were added. Making one takes longer
than the rest of a question.
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
    """Encryptions of zero under the key of one series, in pieces of eight."""

    def __init__(self, keeping: Keeping, series: str, key: PublicKey) -> None:
        self._state, self._key = keeping.state, key
        self._pieces, self._owners = PIECES.of(series), OWNERS.of(series)

    def fill(self, pool: Pool, count: int = _HELD) -> None:
        """Make new pieces in place of the used ones, until there are ``count`` encryptions."""
        unused = [piece for piece in self._state.all(self._pieces) if self._owner(piece) not in self._state]
        for _ in range(len(unused), -(-count // _PIECE)):
            zeros = fresh_zeros(self._key, _PIECE, pool)
            self._state.keep(self._pieces.of(self._next()), bytes(zeros.buffer))

    def take(self, run: str, count: int, pool: Pool) -> CipherVector:
        """``count`` encryptions for this run only; a repeated call takes the same pieces. What is missing is made now."""
        zeros = CipherVector(self._key, b"")
        for piece in self._state.all(self._pieces):
            if len(zeros) >= count:
                break
            data = self._state.get(piece)
            if data is not None and self._state.keep(self._owner(piece), run) == run:
                zeros = CipherVector.concatenate([zeros, CipherVector(self._key, data)])
        if len(zeros) < count:
            zeros = CipherVector.concatenate([zeros, fresh_zeros(self._key, count - len(zeros), pool)])
        return zeros[:count]

    def clear(self, run: str) -> None:
        """Delete the pieces that a run has used."""
        for piece in self._state.all(self._pieces):
            if self._state.get(self._owner(piece)) == run:
                self._state.delete(piece)

    def _owner(self, piece: Item[bytes]) -> Item[str]:
        return self._owners.of(int(piece.key[1]))

    def _next(self) -> int:
        keys = [piece.key for piece in self._state.all(self._pieces)] + [owner.key for owner in self._state.all(self._owners)]
        return max((int(number) for _, number in keys), default=-1) + 1
