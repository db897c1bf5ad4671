"""One-time pads modulo n: what the key holder decrypts for somebody else is uniform to it.

The owner adds a uniform residue to its encrypted result (``vector.add_plain(masks)``, then ``rerandomise_full``), the
key holder decrypts and returns residues, and the owner subtracts: perfect secrecy as long as a mask is never used
twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from gmpy2 import mpz

from tombolo.fl_tasks.crypto.errors import InvalidResidue, WrongShape
from tombolo.fl_tasks.crypto.paillier import PublicKey
from tombolo.fl_tasks.crypto.prf import Stream
from tombolo.fl_tasks.crypto.vector import fixed_bytes


def mask_residues(public: PublicKey, count: int, stream: Stream) -> list[int]:
    """``count`` residues uniform in Z_n (up to 2^-128) from a pseudo-random stream."""
    return stream.integers_below(int(public.n), count)


def unmask(public: PublicKey, residues: Sequence[int], masks: Sequence[int]) -> list[int]:
    """The signed integers in (-n/2, n/2) under the masks. Raises :class:`WrongShape` for differing lengths."""
    if len(residues) != len(masks):
        raise WrongShape(f"{len(residues)} residues for {len(masks)} masks.")
    return [public.signed(mpz(value - mask) % public.n) for value, mask in zip(residues, masks, strict=True)]


def residues_to_arrow(public: PublicKey, residues: Sequence[int]) -> pa.FixedSizeBinaryArray:
    """Residues modulo n as a fixed-size binary array, big-endian. Raises :class:`InvalidResidue`."""
    if any(not 0 <= value < public.n for value in residues):
        raise InvalidResidue("A value is not in [0, n).")
    data = b"".join([int(value).to_bytes(public.residue_width, "big") for value in residues])
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(public.residue_width), len(residues), [None, pa.py_buffer(data)])


def residues_from_arrow(public: PublicKey, array: pa.Array | pa.ChunkedArray) -> list[int]:
    """Take over a peer's column of residues (plain or extension type). Raises :class:`InvalidResidue`."""
    width = public.residue_width
    data = fixed_bytes(array, width, InvalidResidue)
    residues = [int.from_bytes(data[i : i + width], "big") for i in range(0, len(data), width)]
    if any(value >= public.n for value in residues):
        raise InvalidResidue("A value is not below n.")
    return residues
