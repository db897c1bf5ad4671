"""Ids as blocks of 128 bits, and what is computed of them in bulk: code words, bins, parts, tokens.

An id's block is a salted hash; its last two bits are kept free for the number of a hash function. Everything else is AES of such
blocks, many megabytes at a time. The keys of code words and bins are known to both parties, and blocks never leave.
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
    """A block per id, shape (ids, 2): BLAKE2b under the joint salt, the last two bits 0."""
    blank = hashlib.blake2b(digest_size=16, salt=salt[:16], person=b"tombolo id block")
    found = np.empty((len(ids), 2), "<u8")
    for start in range(0, len(ids), _BATCH):
        digests = []
        for one in ids[start : start + _BATCH]:
            hashed = blank.copy()
            hashed.update(one.encode())
            digests.append(hashed.digest())
        found[start : start + _BATCH] = np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2)
    found[:, 1] &= ~np.uint64(FUNCTIONS)
    return found


def for_function(given: Blocks, function: int | npt.NDArray[np.uint8]) -> Blocks:
    """The blocks with the number of a hash function (0 to 2) in their free bits."""
    marked = given.copy()
    marked[:, 1] |= np.asarray(function).astype(np.uint64)
    return marked


def code_words(marked: Blocks, salt: bytes) -> BitMatrix:
    """A pseudo-random code word of 512 bits per marked block, shape (blocks, 8): AES under four keys (section 3.2)."""
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
    """The blocks enciphered under a 32-byte key of both parties, shape (blocks, 16)."""
    return _enciphered(given, key).view(np.uint8).reshape(-1, 16)


def part_count(sizes: Sequence[int]) -> int:
    """Into how many parts lists of these sizes are divided: about a million ids of the largest in each."""
    return max(1, -(-max(sizes) // _PART))


def part_bound(size: int, parts: int) -> int:
    """How many ids of a list one part may hold: more are in any part of it with a probability below 2^-41 (Bernstein)."""
    if parts == 1:
        return size
    exponent, mean = math.log(2**41 * parts), size / parts
    return min(size, math.ceil(mean + exponent / 3 + math.sqrt(exponent**2 / 9 + 2 * exponent * mean)))


def divided(given: Blocks, parts: int, party: str) -> list[npt.NDArray[np.int64]]:
    """The positions of the party's blocks in each part, which their salted hashes choose. Raises :class:`PartTooFull`."""
    part = (given[:, 0] % np.uint64(parts)).astype(np.int16)
    order = np.argsort(part, kind="stable")
    counts = np.bincount(part, minlength=parts)
    if counts.max() > part_bound(len(given), parts):
        raise PartTooFull(party=party)
    return np.split(order, np.cumsum(counts)[:-1])


def _enciphered(given: Blocks, key: bytes) -> Blocks:
    cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - single blocks under a key of their own, no text
    return np.frombuffer(cipher.update(given.tobytes()), "<u8").reshape(-1, 2)


def _key(secret: bytes, purpose: str) -> bytes:
    return hmac.digest(secret, f"tombolo/alignment/{purpose}/1".encode(), "sha256")[:16]
