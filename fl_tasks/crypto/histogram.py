"""Sums of ciphertexts per feature bin (the inner loop of boosted trees), and their compression before decryption.

Features with few bins share a pass over the rows. The pass multiplies the rows into one bucket per *combination* of bins.
Then the buckets are multiplied together per feature. Three features of 16 bins cost little more than one, if there are
many more rows than combinations.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import gmpy2
import numpy as np
import numpy.typing as npt
from gmpy2 import mpz

from tombolo.fl_tasks.crypto.errors import WrongShape
from tombolo.fl_tasks.crypto.packing import slots_per_ciphertext
from tombolo.fl_tasks.crypto.paillier import cached_public
from tombolo.fl_tasks.crypto.pool import INLINE, Pool
from tombolo.fl_tasks.crypto.vector import CipherVector

_MULTIPLY_US, _SQUARE_US = 7.0, 6.0


def share_passes(rows: int, sizes: Sequence[int]) -> list[list[int]]:
    """Which features share a pass over the rows, given their numbers of bins. Small ones are grouped if that saves work."""
    groups: list[list[int]] = []
    combinations = 1
    for feature in sorted(range(len(sizes)), key=lambda f: sizes[f]):
        members = len(groups[-1]) if groups else 0
        grown = combinations * sizes[feature] * (members + 1) - (combinations * members if members > 1 else 0)
        if groups and grown < rows:
            groups[-1].append(feature)
            combinations *= sizes[feature]
        else:
            groups.append([feature])
            combinations = sizes[feature]
    return groups


def _pass(values: list[Any], codes: npt.NDArray[np.int64], sizes: list[int], modulus: mpz) -> list[list[Any]]:
    """The bin products of the features of one pass; ``codes`` has shape (rows, features)."""
    joint: dict[int, Any] = {}
    for value, key in zip(values, np.ravel_multi_index(tuple(codes.T), sizes).tolist(), strict=True):
        held = joint.get(key)
        joint[key] = value if held is None else held * value % modulus
    if len(sizes) == 1:
        return [[joint.get(b, mpz(1)) for b in range(sizes[0])]]
    sums = [[mpz(1)] * size for size in sizes]
    for key, product in joint.items():
        for feature, b in enumerate(np.unravel_index(key, sizes)):
            sums[feature][b] = sums[feature][b] * product % modulus
    return sums


def _block(n: int, buffer: bytes, codes: bytes, sizes: list[int]) -> bytes:
    """The bin products of all features over one block of rows. ``codes`` are int64, row-major."""
    public = cached_public(n)
    values = CipherVector(public, buffer).values()
    bins = np.frombuffer(codes, dtype="<i8").reshape(len(values), len(sizes))
    sums: list[list[Any]] = [[]] * len(sizes)
    for group in share_passes(len(values), sizes):
        bin_products = _pass(values, bins[:, group], [sizes[f] for f in group], public.nsquare)
        for feature, products in zip(group, bin_products, strict=True):
            sums[feature] = products
    return bytes(CipherVector.from_values(public, [product for products in sums for product in products]).buffer)


def bin_sums(
    bins: npt.NDArray[np.integer[Any]], sizes: Sequence[int], vector: CipherVector, pool: Pool | None = None
) -> list[CipherVector]:
    """For each feature, the encrypted sums of the rows in each of its bins.

    ``bins`` has shape (rows, features) with values in [0, sizes[feature]). The result is deterministic, and an empty bin gives
    the trivial ciphertext 1: re-randomise before sending. Raises :class:`WrongShape`. The pool's workers see the bins.
    """
    (total,) = grouped_bin_sums([(bins, vector)], sizes, pool)
    ends = np.cumsum([0, *sizes]).tolist()
    return [total[start:stop] for start, stop in itertools.pairwise(ends)]


def grouped_bin_sums(
    groups: Sequence[tuple[npt.NDArray[np.integer[Any]], CipherVector]], sizes: Sequence[int], pool: Pool | None = None
) -> list[CipherVector]:
    """:func:`bin_sums` for several groups of rows (tree nodes). Each group gives one vector with the bins of all features."""
    pool, tasks, owners = pool or INLINE, list[tuple[int, bytes, bytes, list[int]]](), list[int]()
    for group, (bins, vector) in enumerate(groups):
        codes = _checked(bins, sizes, vector)
        for part in pool.split(len(vector), _MULTIPLY_US * len(share_passes(len(vector), sizes))):
            tasks.append((int(vector.public.n), bytes(vector[part].buffer), codes[part].astype("<i8").tobytes(), list(sizes)))
            owners.append(group)
    widths = [sum(sizes) * groups[group][1].public.width for group in owners]
    sums: list[CipherVector | None] = [None] * len(groups)
    for group, block in zip(owners, pool.map(_block, tasks, widths), strict=True):
        partial, before = CipherVector(groups[group][1].public, block), sums[group]
        sums[group] = partial if before is None else before + partial
    return [total for total in sums if total is not None]


def _checked(bins: npt.NDArray[np.integer[Any]], sizes: Sequence[int], vector: CipherVector) -> npt.NDArray[np.int64]:
    codes = np.ascontiguousarray(bins, dtype=np.int64)
    if codes.ndim != 2 or codes.shape != (len(vector), len(sizes)):
        raise WrongShape(f"Bins of shape {codes.shape} for {len(vector)} ciphertexts and {len(sizes)} features.")
    if codes.size and (codes.min() < 0 or (codes.max(axis=0) >= np.array(sizes)).any()):
        raise WrongShape("A bin lies outside its feature's number of bins.")
    return codes


def compress(vector: CipherVector, slot_bits: int, pool: Pool | None = None) -> CipherVector:
    """Pack several encrypted integers into one ciphertext by Horner's rule. The first integer is in the lowest slot.

    Decrypt, then read with :func:`tombolo.fl_tasks.crypto.packing.unpack`. Every plaintext must lie in -2^(b-1) <= m < 2^(b-1)
    for slots of b bits.
    """
    pool, public, slots = pool or INLINE, vector.public, slots_per_ciphertext(vector.public, slot_bits)
    packed = -(-len(vector) // slots)
    parts = pool.split(packed, _SQUARE_US * slot_bits * slots)
    tasks = [(int(public.n), bytes(vector[part.start * slots : part.stop * slots].buffer), slot_bits) for part in parts]
    buffers = pool.map(_compressed, tasks, [public.width * -(-len(buffer) // (public.width * slots)) for _, buffer, _ in tasks])
    return CipherVector(public, b"".join(buffers))


def _compressed(n: int, buffer: bytes, slot_bits: int) -> bytes:
    public = cached_public(n)
    slots, modulus, shift = slots_per_ciphertext(public, slot_bits), public.nsquare, mpz(1) << slot_bits
    values, packed = CipherVector(public, buffer).values(), []
    for start in range(0, len(values), slots):
        part = values[start : start + slots]
        held = part[-1]
        for value in reversed(part[:-1]):
            held = gmpy2.powmod(held, shift, modulus) * value % modulus
        packed.append(held)
    return bytes(CipherVector.from_values(public, packed).buffer)
