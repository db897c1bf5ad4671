"""Arithmetic on what the other party has encrypted: 24 fractional bits per factor, uniform masks modulo n.

Headroom. Every sum is over products of three factors, of 24 fractional bits each. A Jacobian's entries stay below 2^10, which is
checked; features are tanh, hence at most 1; what multiplies them is at most 2^10, by the bounds on weights of classes and of the
alignment. For r terms a sum needs 72 + 30 + log2(r) + 2 bits: 124 for a million, of the 1023 that the shortest key offers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.crypto.fixedpoint import check_headroom, decode, encode, encode_features
from tombolo.fl_tasks.crypto.masks import mask_residues, residues_from_arrow, residues_to_arrow, unmask
from tombolo.fl_tasks.crypto.matvec import transposed_product
from tombolo.fl_tasks.crypto.paillier import PrivateKey, PublicKey
from tombolo.fl_tasks.crypto.vector import CipherVector, decrypt_residues
from tombolo.fl_tasks.learning.vertical.key_holder import WrongLength
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import CodedError, blame

Floats = npt.NDArray[np.float64]
BITS = 24
"""Fractional bits of one factor."""
_LARGEST = 2.0**20


class WildGradient(CodedError):
    code = "TMB-TRANSFER-002"
    cause = "A gradient or a loss that came back is beyond anything that the agreed losses can give."
    remedy = "The named party sent wrong values; start a new run, and ask it for its log if that happens again."


class TooRareClass(CodedError):
    code = "TMB-TRANSFER-003"
    cause = "A class is so rare that its balanced weight is beyond the fixed-point form."
    remedy = "Agree on class_weights: none, or bring more rows of the rarer class."


@dataclass(frozen=True)
class Half:
    """The upper triangle of symmetric matrices of ``width``, row by row: ``first`` and ``second`` are its indices."""

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]

    @classmethod
    def of(cls, width: int) -> Half:
        return cls(*(np.asarray(one, dtype=np.int64) for one in np.triu_indices(width)))

    def __len__(self) -> int:
        return len(self.first)

    def squares(self, u: Floats) -> Floats:
        """u^T u of every row of ``u`` (n, width), shape (n, len)."""
        return np.asarray(u[:, self.first] * u[:, self.second])

    def places(self, unit: int) -> npt.NDArray[np.int64]:
        """Where the matrix's row ``unit`` stands in the triangle, shape (width,)."""
        return np.flatnonzero((self.first == unit) | (self.second == unit))


def product(session: Session, x: Floats, vector: CipherVector) -> CipherVector:
    """x^T [[v]] with ``x`` (rows, columns) in fixed point."""
    check_headroom(vector.public, scale_bits=3 * BITS, bound=2.0**30, terms=len(x))
    return transposed_product(encode_features(x, BITS), vector, session.pool)


def through(session: Session, u: Floats, halves: CipherVector, half: Half) -> CipherVector:
    """[[u_i M_i]] of every row, (n * width) ciphertexts row after row, from ``u`` (n, width) and symmetric matrices in ``halves``:
    one for all rows, or one per row."""
    n, width = u.shape
    plain, size = encode(u, BITS), len(half)
    single = len(halves) == size
    columns = []
    for unit in range(width):
        places = half.places(unit)
        if single:
            columns.append(transposed_product(np.ascontiguousarray(plain.T), halves.take(places), session.pool))
            continue
        terms = halves.take((np.arange(n)[:, None] * size + places).ravel()).times(plain.ravel(), session.pool)
        at = np.arange(n) * width
        found = terms.take(at)
        for other in range(1, width):
            found = found + terms.take(at + other)
        columns.append(found)
    every = CipherVector.concatenate(columns)
    return every.take(np.arange(n * width).reshape(width, n).T.ravel())


class Masked:
    """Sums that only this party gets to read, though the other holds the key: a uniform mask each, the same under replay."""

    def __init__(self, session: Session, key: PublicKey, holder: str, name: str) -> None:
        self._session, self._key, self._holder, self._name = session, key, holder, name
        self._masks: list[int] = []

    def send(self, sums: CipherVector) -> None:
        """Re-randomised in full, since the key holder knows all that the sums were made of."""
        self._masks = mask_residues(self._key, len(sums), self._session.prf(self._name).stream(self._key.key_id))
        masked = sums.add_plain(self._masks).rerandomise_full(pool=self._session.pool)
        self._session.send(self._name, self._holder, c=masked.to_arrow())

    def receive(self) -> list[int]:
        """The sums as integers, of any size."""
        table = self._session.receive(f"{self._name}_back", self._holder)
        with blame(self._holder):
            returned = residues_from_arrow(self._key, self._session.values(table, "residue"))
        if len(returned) != len(self._masks):
            raise WrongLength(f"{len(returned)} values instead of {len(self._masks)}.", party=self._holder)
        return unmask(self._key, returned, self._masks)


def serve(session: Session, key: PrivateKey, name: str, peer: str, most: int) -> None:
    """Decrypt the peer's masked sums and return them. Raises WrongLength for more than ``most``: nobody has rows decrypted so."""
    table = session.receive(name, peer)
    with blame(peer):
        masked = CipherVector.from_arrow(key.public, session.values(table, "c"))
    if len(masked) > most:
        raise WrongLength(f"{len(masked)} sums to decrypt, {most} at most are due.", party=peer)
    session.send(f"{name}_back", peer, residue=residues_to_arrow(key.public, decrypt_residues(key, masked)))


def sane(values: list[int], bits: int, sender: str, rows: int = 1) -> Floats:
    """Sums over ``rows`` as means; raises :class:`WildGradient` for magnitudes that no honest computation reaches."""
    if any(abs(value) >= rows * int(_LARGEST) << bits for value in values):
        raise WildGradient(party=sender)
    return decode(values, bits) / rows
