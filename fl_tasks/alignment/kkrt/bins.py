"""Cuckoo hashing without a stash: every id is in one of its three bins, and a bin holds at most one id (Pagh and Rodler 2001).

With 1.27 bins per id, and at least 16,384 bins, a placement exists except with a probability below 2^-40, whatever the ids are
(docs/protocols/kkrt.md has the proof). If a placement exists, it is found: a random walk places almost all ids, and shortest
augmenting paths place the few that remain.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.alignment.kkrt.ids import FUNCTIONS
from tombolo.fl_tasks.crypto.prf import Stream

EMPTY = -1
_LEAST = 1 << 14
_WALK, _FEW = 200, 50


def bin_count(size: int) -> int:
    """The number of bins for ``size`` ids."""
    return max(_LEAST, -(-127 * size // 100))


def place(bins: npt.NDArray[np.int64], count: int, stream: Stream) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]] | None:
    """Place every id into one of its bins.

    ``bins`` has shape (3, ids). Returns for each of ``count`` bins the position of its id (or EMPTY), and for each id the hash
    function that places it; None if no placement exists. The random walk takes its choices from ``stream``.
    """
    size = bins.shape[1]
    holds = np.full(count, EMPTY, np.int32)
    used = (np.frombuffer(stream.bytes(size), np.uint8) % FUNCTIONS).astype(np.uint8)
    waiting = np.arange(size, dtype=np.int32)
    for _ in range(_WALK):
        if len(waiting) <= _FEW:
            break
        wanted = bins[used[waiting], waiting]
        before = holds[wanted]
        holds[wanted] = waiting  # if several ids want one bin, one of them gets it
        stays = holds[wanted] == waiting
        evicted = before[stays]
        waiting = np.concatenate([waiting[~stays], evicted[evicted != EMPTY]])
        turn = 1 + (np.frombuffer(stream.bytes(len(waiting)), np.uint8) & 1)
        used[waiting] = (used[waiting] + turn) % FUNCTIONS
    all_placed = all(_augment(bins, holds, used, int(new)) for new in waiting)
    return (holds, used) if all_placed else None


def _augment(bins: npt.NDArray[np.int64], holds: npt.NDArray[np.int32], used: npt.NDArray[np.uint8], new: int) -> bool:
    """Make room for one more id along a shortest path of moves to an empty bin; False if there is none."""
    came: dict[int, tuple[int, int]] = {}  # for each bin: the id that would move there, and its hash function
    queue = deque([new])
    while queue:
        candidate = queue.popleft()
        for function in range(FUNCTIONS):
            at = int(bins[function, candidate])
            if at in came:
                continue
            came[at] = (candidate, function)
            holder = int(holds[at])
            if holder != EMPTY:
                queue.append(holder)
                continue
            while True:
                mover, function = came[at]
                left = int(bins[used[mover], mover])
                holds[at], used[mover] = mover, function
                if mover == new:
                    return True
                at = left
    return False
