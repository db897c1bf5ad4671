"""Arithmetic on ciphertexts of the other party: 24 fractional bits per factor, uniform masks modulo n.

Headroom: every sum is over products of three factors, each with 24 fractional bits. The entries of a Jacobian stay below 2^10; this
is checked. Features are values of tanh, so at most 1. Their factors are at most 2^10, by the bounds on class weights and on the
alignment weight. For r terms a sum needs 72 + 30 + log2(r) + 2 bits: 124 bits for a million terms. The shortest key offers 1023.
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
"""The fractional bits of one factor."""
_LARGEST = 2.0**20


class WildGradient(CodedError):
    code = "TMB-TRANSFER-002"
    cause = "A gradient or a loss that came back is larger than any that the agreed losses can give."
    remedy = "Start a new run. If it happens again, ask the named party for its log: it sent wrong values."


class TooRareClass(CodedError):
    code = "TMB-TRANSFER-003"
    cause = "A class is so rare that its balanced weight is too large for the fixed-point form."
    remedy = "Start a run with class_weights: none, or with more rows of the rarer class."


@dataclass(frozen=True)
class Half:
    """The upper triangle of a symmetric matrix, row by row: ``first`` and ``second`` are the indices of its entries."""

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]

    @classmethod
    def of(cls, width: int) -> Half:
        """The triangle of a matrix of shape (width, width)."""
        return cls(*(np.asarray(indices, dtype=np.int64) for indices in np.triu_indices(width)))

    def __len__(self) -> int:
        return len(self.first)

    def squares(self, u: Floats) -> Floats:
        """The triangle of u^T u for every row of ``u`` (n, width), shape (n, len)."""
        return np.asarray(u[:, self.first] * u[:, self.second])

    def places(self, unit: int) -> npt.NDArray[np.int64]:
        """The positions in the triangle of the row ``unit`` of the matrix, shape (width,)."""
        return np.flatnonzero((self.first == unit) | (self.second == unit))


def product(session: Session, x: Floats, vector: CipherVector) -> CipherVector:
    """x^T [[v]] with ``x`` (rows, columns) in fixed point."""
    check_headroom(vector.public, scale_bits=3 * BITS, bound=2.0**30, terms=len(x))
    return transposed_product(encode_features(x, BITS), vector, session.pool)


def through(session: Session, u: Floats, halves: CipherVector, half: Half) -> CipherVector:
    """[[u_i M_i]] for every row: (n * width) ciphertexts, row after row. ``u`` has shape (n, width); ``halves`` holds the triangles
    of the symmetric matrices: a single one for all rows, or one for each row."""
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
        total = terms.take(at)
        for other in range(1, width):
            total = total + terms.take(at + other)
        columns.append(total)
    every = CipherVector.concatenate(columns)
    return every.take(np.arange(n * width).reshape(width, n).T.ravel())


class Masked:
    """Sums that only this party can read, although the other party holds the key. Each is under a uniform mask."""

    def __init__(self, session: Session, key: PublicKey, holder: str, name: str) -> None:
        self._session, self._key, self._holder, self._name = session, key, holder, name
        self._masks: list[int] = []

    def send(self, sums: CipherVector) -> None:
        """Send the masked sums. They are fully re-randomised, because the key holder knows the ciphertexts that were summed."""
        self._masks = mask_residues(self._key, len(sums), self._session.prf(self._name).stream(self._key.key_id))
        masked = sums.add_plain(self._masks).rerandomise_full(pool=self._session.pool)
        self._session.send(self._name, self._holder, c=masked.to_arrow())

    def receive(self) -> list[int]:
        """Receive the sums as integers of any size. Raises WrongLength."""
        table = self._session.receive(f"{self._name}_back", self._holder, len(self._masks))
        with blame(self._holder):
            returned = residues_from_arrow(self._key, self._session.values(table, "residue"))
        if len(returned) != len(self._masks):
            raise WrongLength(f"{len(returned)} values instead of {len(self._masks)}.", party=self._holder)
        return unmask(self._key, returned, self._masks)


def serve(session: Session, key: PrivateKey, name: str, peer: str, most: int) -> None:
    """Decrypt the masked sums of the peer and return them. Raises WrongLength if there are more than ``most``."""
    table = session.receive(name, peer, most)
    with blame(peer):
        masked = CipherVector.from_arrow(key.public, session.values(table, "c"))
    if len(masked) > most:
        raise WrongLength(f"{len(masked)} sums came to be decrypted; at most {most} are allowed.", party=peer)
    session.send(f"{name}_back", peer, residue=residues_to_arrow(key.public, decrypt_residues(key, masked)))


def sane(values: list[int], bits: int, sender: str, rows: int = 1) -> Floats:
    """The means of sums over ``rows``. Raises :class:`WildGradient` for values that are larger than any honest value."""
    if any(abs(value) >= rows * int(_LARGEST) << bits for value in values):
        raise WildGradient(party=sender)
    return decode(values, bits) / rows
