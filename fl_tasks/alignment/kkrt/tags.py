"""Tags: the values of the oblivious function. Each is the hash of one row. This module has their length and order when sent.

The hash is BLAKE2b of the 512-bit row and its number: one compression. It serves as the random oracle of the paper's proof. AES
with a fixed key could compute many values at once, but its inputs have only 128 bits.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.alignment.kkrt.extension import ROW_BYTES, BitMatrix

Tags = npt.NDArray[np.uint8]
_LEAST_BYTES = 11
_BATCH = 1 << 16


def tag_bytes(left: int, right: int) -> int:
    """The length of a tag in bytes, for lists of these sizes. No two ids have equal tags, except with probability 2^-40."""
    bits = 40 + math.log2(3 * max(1, left) * max(1, right))
    return max(_LEAST_BYTES, math.ceil(bits / 8))


def tags(rows: BitMatrix, instances: npt.NDArray[np.int64], width: int, salt: bytes) -> Tags:
    """The tags of rows of shape (rows, 8), each for the oblivious function with its number; shape (rows, width)."""
    blank = hashlib.blake2b(digest_size=width, salt=salt[:16], person=b"tombolo oprf tag")
    hashes = np.empty((len(rows), width), np.uint8)
    step = ROW_BYTES + 8
    for start in range(0, len(rows), _BATCH):
        stop = min(start + _BATCH, len(rows))
        numbered = np.column_stack([rows[start:stop], instances[start:stop].astype("<u8")]).tobytes()
        digests = []
        for at in range(0, len(numbered), step):
            hashed = blank.copy()
            hashed.update(numbered[at : at + step])
            digests.append(hashed.digest())
        hashes[start:stop] = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, width)
    return hashes


def ascending(given: Tags) -> npt.NDArray[np.int64]:
    """The positions of tags or tokens in the order of their values. The order is unique and shows nothing about the ids."""
    high, low = _halves(given)
    order = np.argsort(high)
    if (np.diff(high[order]) == 0).any():
        order = np.lexsort((low, high))
    return order


def ascend(given: Tags) -> bool:
    """Whether every tag is greater than the one before: they are in order, and none occurs twice."""
    high, low = _halves(given)
    return bool(((high[1:] > high[:-1]) | ((high[1:] == high[:-1]) & (low[1:] > low[:-1]))).all())


def _halves(given: Tags) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """The first eight bytes of each tag as one number, and the rest (up to eight bytes) as another number."""
    padded = np.zeros((len(given), 16), np.uint8)
    padded[:, : given.shape[1]] = given
    numbers = padded.view(">u8").astype(np.uint64)
    return numbers[:, 0], numbers[:, 1]
