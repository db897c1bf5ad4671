"""What each recipient knows of each person, in bits: a snapshot for each recipient, which grows and is never changed."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.uint64]
Units = npt.NDArray[np.uint32]
STEPS = 16
"""Bits are counted in sixteenths, and rounded up."""
_MAGIC, _HEAD = b"TPB1", struct.Struct(">4sIQ")


@dataclass(frozen=True, eq=False)
class Persons:
    """Hashes of persons, sorted, and the sixteenths of bits known of each. ``floor`` counts for persons who are not in here."""

    ids: Ids
    units: Units
    floor: int = 0

    @classmethod
    def none(cls, floor: float = 0.0) -> Persons:
        """Nothing is known of anybody but ``floor`` bits."""
        return cls(np.empty(0, np.uint64), np.empty(0, np.uint32), in_units(floor))

    def encode(self) -> bytes:
        """The bytes that are stored."""
        return _HEAD.pack(_MAGIC, self.floor, len(self.ids)) + self.ids.astype("<u8").tobytes() + self.units.astype("<u4").tobytes()

    @classmethod
    def decode(cls, data: bytes) -> Persons:
        """Inverse of :meth:`encode`. Raises ValueError."""
        try:
            magic, floor, count = _HEAD.unpack_from(data)
        except struct.error:
            raise ValueError("too short") from None
        if magic != _MAGIC or len(data) != _HEAD.size + 12 * count:
            raise ValueError("another form or length")
        ids = np.frombuffer(data, "<u8", count, _HEAD.size).astype(np.uint64)
        return cls(ids, np.frombuffer(data, "<u4", count, _HEAD.size + 8 * count).astype(np.uint32), floor)

    def known(self, ids: Ids) -> Units:
        """What is known of each of these persons."""
        at, found = self._find(ids)
        units = np.full(len(ids), self.floor, np.uint32)
        units[found] = self.units[at[found]]
        return units

    def plus(self, ids: Ids, units: Units) -> Persons:
        """With more about some persons; ``ids`` are sorted, each once."""
        at, found = self._find(ids)
        new, grown = ~found, self.units.copy()
        grown[at[found]] = total(grown[at[found]], units[found])
        added = total(np.full(int(new.sum()), self.floor, np.uint32), units[new])
        return Persons(np.insert(self.ids, at[new], ids[new]), np.insert(grown, at[new], added), self.floor)

    def _find(self, ids: Ids) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
        at = np.searchsorted(self.ids, ids)
        if not len(self.ids):
            return at, np.zeros(len(ids), np.bool_)
        return at, self.ids[np.minimum(at, len(self.ids) - 1)] == ids


def total(before: Units, more: Units) -> Units:
    """The sums, or the largest number that can be kept."""
    sums: Units = np.minimum(before.astype(np.uint64) + more, np.iinfo(np.uint32).max).astype(np.uint32)
    return sums


def in_units(bits: float) -> int:
    """Bits in sixteenths, rounded up."""
    return int(np.ceil(bits * STEPS - 1e-9))


def counted(persons: Ids, bits: float) -> tuple[Ids, Units]:
    """The persons, sorted and each once, and what each costs: ``bits`` for every time that it is in ``persons``."""
    ids, times = np.unique(np.asarray(persons, np.uint64), return_counts=True)
    units = times.astype(np.uint64) * np.uint64(in_units(bits))
    if len(units) and int(units.max()) >= 1 << 31:
        raise ValueError("too many bits about one person")
    return ids, units.astype(np.uint32)


def fingerprint(data: bytes) -> str:
    """SHA-256 of a snapshot's bytes."""
    return hashlib.sha256(data).hexdigest()
