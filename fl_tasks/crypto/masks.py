"""One-time pads modulo n: a value that the key holder decrypts for another party looks uniform to the key holder.

The owner adds a uniform residue to its encrypted result (``vector.add_plain(masks)``, then ``rerandomise_full``). The
key holder decrypts and returns residues. The owner subtracts the mask. Secrecy is perfect if no mask is used twice.
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
    """``count`` residues from a pseudo-random stream, uniform in Z_n (up to 2^-128)."""
    return stream.integers_below(int(public.n), count)


def unmask(public: PublicKey, residues: Sequence[int], masks: Sequence[int]) -> list[int]:
    """The signed integers in (-n/2, n/2) without their masks. Raises :class:`WrongShape` for different lengths."""
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
    """Check and read a peer's column of residues (plain or extension type). Raises :class:`InvalidResidue`."""
    width = public.residue_width
    data = fixed_bytes(array, width, InvalidResidue)
    residues = [int.from_bytes(data[i : i + width], "big") for i in range(0, len(data), width)]
    if any(value >= public.n for value in residues):
        raise InvalidResidue("A value is not below n.")
    return residues
