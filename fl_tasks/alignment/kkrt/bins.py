"""Cuckoo hashing without a stash: every id in one of its three bins, at most one id in each (Pagh and Rodler 2001).

With 1.27 bins per id, and 16,384 at least, a placement exists but for a probability below 2^-40, whatever the ids are
(docs/protocols/kkrt.md has the proof). Where one exists it is found: a random walk places nearly all ids at once, and shortest
augmenting paths the few that remain.
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
    """How many bins so many ids need."""
    return max(_LEAST, -(-127 * size // 100))


def place(bins: npt.NDArray[np.int64], count: int, stream: Stream) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]] | None:
    """Place every id into one of its bins.

    ``bins`` has shape (3, ids). Returns the id (its position, or EMPTY) of each of ``count`` bins, and by which hash function each
    id is placed; None where no placement exists. ``stream`` makes the walk's choices.
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
        holds[wanted] = waiting  # of several for one bin, one stays
        stays = holds[wanted] == waiting
        evicted = before[stays]
        waiting = np.concatenate([waiting[~stays], evicted[evicted != EMPTY]])
        turn = 1 + (np.frombuffer(stream.bytes(len(waiting)), np.uint8) & 1)
        used[waiting] = (used[waiting] + turn) % FUNCTIONS
    found = all(_augment(bins, holds, used, int(one)) for one in waiting)
    return (holds, used) if found else None


def _augment(bins: npt.NDArray[np.int64], holds: npt.NDArray[np.int32], used: npt.NDArray[np.uint8], new: int) -> bool:
    """Make room for one more id along a shortest path of moves to an empty bin; False if there is none."""
    came: dict[int, tuple[int, int]] = {}  # bin: the id that would move there, by which function
    queue = deque([new])
    while queue:
        one = queue.popleft()
        for function in range(FUNCTIONS):
            at = int(bins[function, one])
            if at in came:
                continue
            came[at] = (one, function)
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
