"""Stretches 512 keys to any number of rows of 512 bits; each key gives one bit of every row (Ishai et al., CRYPTO 2003).

A row is eight 64-bit words; bit i of word g belongs to key 64 g + i. The stream of a key is a column, but rows are needed. So the
bits are transposed in blocks of 64 x 64, a few thousand rows at a time, which fit into the processor's cache.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.crypto.prf import Prf

WORDS = 8
ROW_BYTES = 8 * WORDS
BitMatrix = npt.NDArray[np.uint64]
_SLAB = 64  # words of each column that are transposed together: 256 KiB in all
_STEPS = [(np.uint64(width), np.uint64(sum(1 << bit for bit in range(64) if not bit & width))) for width in (32, 16, 8, 4, 2, 1)]


def stretch(keys: Sequence[bytes], part: int, count: int) -> BitMatrix:
    """``count`` rows of part ``part``, shape (count, 8), by AES-256 in counter mode under a sub-key of each of the 512 keys."""
    streams = [Prf(key).stream("rows", part) for key in keys]
    blocks = -(-count // 64)
    rows = np.empty((64 * blocks, WORDS), "<u8")
    for start in range(0, blocks, _SLAB):
        width = min(_SLAB, blocks - start)
        columns = np.frombuffer(b"".join([stream.bytes(8 * width) for stream in streams]), "<u8").reshape(len(keys), width)
        rows[64 * start : 64 * (start + width)] = transposed(columns)
    return rows[:count]


def transposed(columns: BitMatrix) -> BitMatrix:
    """A bit matrix of shape (512, words of 64 bits) as rows of shape (64 words, 8)."""
    width = columns.shape[1]
    bits = columns.reshape(WORDS, 64, width).copy()
    for shift, mask in _STEPS:  # swap quarters, smaller in each step (Hacker's Delight, 7-3)
        view = bits.reshape(WORDS, 32 // int(shift), 2, int(shift), width)
        upper, lower = view[:, :, 0], view[:, :, 1]
        swapped = upper >> shift
        swapped ^= lower
        swapped &= mask
        lower ^= swapped
        swapped <<= shift
        upper ^= swapped
    return bits.transpose(2, 1, 0).reshape(64 * width, WORDS)
