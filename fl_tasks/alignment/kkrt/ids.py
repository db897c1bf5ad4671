"""Ids as blocks of 128 bits, and the values that are computed from many blocks at once: code words, bins, parts, tokens.

The block of an id is a salted hash. Its last two bits are kept free for the number of a hash function. Everything else is AES of
these blocks, many megabytes at a time. Both parties know the keys of code words and bins. Blocks are never sent.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tombolo.fl_tasks.alignment.kkrt.extension import WORDS, BitMatrix
from tombolo.fl_tasks.alignment.kkrt.messages import PartTooFull

FUNCTIONS = 3
_PART = 1 << 20
_BATCH = 1 << 16
Blocks = npt.NDArray[np.uint64]


def blocks(ids: Sequence[str], salt: bytes) -> Blocks:
    """A block for each id, shape (ids, 2): BLAKE2b with the joint salt; the last two bits are 0."""
    blank = hashlib.blake2b(digest_size=16, salt=salt[:16], person=b"tombolo id block")
    hashes = np.empty((len(ids), 2), "<u8")
    for start in range(0, len(ids), _BATCH):
        digests = []
        for row_id in ids[start : start + _BATCH]:
            hashed = blank.copy()
            hashed.update(row_id.encode())
            digests.append(hashed.digest())
        hashes[start : start + _BATCH] = np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2)
    hashes[:, 1] &= ~np.uint64(FUNCTIONS)
    return hashes


def for_function(given: Blocks, function: int | npt.NDArray[np.uint8]) -> Blocks:
    """The blocks with the number of a hash function (0 to 2) in their free bits."""
    marked = given.copy()
    marked[:, 1] |= np.asarray(function).astype(np.uint64)
    return marked


def code_words(marked: Blocks, salt: bytes) -> BitMatrix:
    """A pseudo-random code word of 512 bits for each marked block, shape (blocks, 8): AES under four keys (section 3.2)."""
    words = np.empty((len(marked), WORDS), "<u8")
    for at in range(WORDS // 2):
        words[:, 2 * at : 2 * at + 2] = _enciphered(marked, _key(salt, f"code {at}"))
    return words


def bins_of(given: Blocks, seed: bytes, bins: int) -> npt.NDArray[np.int64]:
    """The bin of every block by each hash function, shape (3, blocks)."""
    key = _key(seed, "bins")
    words = [_enciphered(for_function(given, function), key)[:, 0] for function in range(FUNCTIONS)]
    return (np.stack(words) % np.uint64(bins)).astype(np.int64)


def tokens(given: Blocks, key: bytes) -> npt.NDArray[np.uint8]:
    """The blocks encrypted under a 32-byte key that both parties share, shape (blocks, 16)."""
    return _enciphered(given, key).view(np.uint8).reshape(-1, 16)


def part_count(sizes: Sequence[int]) -> int:
    """The number of parts for lists of these sizes: a part has about a million ids of the largest list."""
    return max(1, -(-max(sizes) // _PART))


def part_bound(size: int, parts: int) -> int:
    """The most ids of a list in one part. Some part of the list holds more with a probability below 2^-41 (Bernstein)."""
    if parts == 1:
        return size
    exponent, mean = math.log(2**41 * parts), size / parts
    return min(size, math.ceil(mean + exponent / 3 + math.sqrt(exponent**2 / 9 + 2 * exponent * mean)))


def divided(given: Blocks, parts: int, party: str) -> list[npt.NDArray[np.int64]]:
    """The positions of the party's blocks in each part. The salted hash chooses the part. Raises :class:`PartTooFull`."""
    part = (given[:, 0] % np.uint64(parts)).astype(np.int16)
    order = np.argsort(part, kind="stable")
    counts = np.bincount(part, minlength=parts)
    if counts.max() > part_bound(len(given), parts):
        raise PartTooFull(party=party)
    return np.split(order, np.cumsum(counts)[:-1])


def _enciphered(given: Blocks, key: bytes) -> Blocks:
    cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - single blocks under a separate key, no text
    return np.frombuffer(cipher.update(given.tobytes()), "<u8").reshape(-1, 2)


def _key(secret: bytes, purpose: str) -> bytes:
    return hmac.digest(secret, f"tombolo/alignment/{purpose}/1".encode(), "sha256")[:16]
