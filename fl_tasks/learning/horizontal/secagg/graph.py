"""Who shares masks and secrets with whom: everybody with everybody up to 50 clients, a random regular graph above.

Bell, Bonawitz, Gascon, Lepoint, Raykova, *Secure Single-Server Aggregation with (Poly)Logarithmic Overhead*, CCS 2020 (SecAgg+):
clients stand in a circle in random order, and each one's neighbours are the k/2 next on either side (a Harary graph). What is asked
of k and of a neighbourhood's threshold t is stronger than there, because here the aggregator may choose who drops out after it has
seen the graph. The graph of those who are left falls apart only where two stretches of k/2 places, with somebody between them
on both sides, are empty. So every client insists that any two such stretches keep t survivors, and fewer than t of them are
corrupt: then honest survivors are connected, and no neighbourhood can rebuild an honest client's secret by itself.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from math import comb

import numpy as np

from tombolo.fl_tasks.crypto.prf import Stream

COMPLETE_UP_TO = 50
CORRUPT, DROPPED = 3, 5
"""At most one in so many of the agreement's clients works with the aggregator; of those on a roster, one in so many may vanish."""
PRIVACY_BITS, TRIED_BITS, COMPLETION_BITS = 40, 64, 30
"""Privacy fails with probability 2^-40 even when 2^64 rosters are tried for a bad graph; a sum stops in vain with 2^-30."""


@dataclass(frozen=True)
class Graph:
    """Clients by their places on the roster (1, 2, ...) in a circle; neighbours are at most ``reach`` steps apart.

    A secret is shared in a client's closed neighbourhood (itself included), ``threshold`` shares of it give the secret back.
    """

    circle: tuple[int, ...]
    reach: int
    threshold: int

    @classmethod
    def draw(cls, seed: bytes, clients: int, members: int, threshold: int) -> Graph:
        """The graph of a roster of so many ``clients`` out of ``members``, from 32 bytes that the roster determines.

        ``threshold`` is that of all clients together, and of a neighbourhood where everybody is in it.
        """
        found = parameters(clients, min(members // CORRUPT, clients), clients // DROPPED) if clients > COMPLETE_UP_TO else None
        if found is None:
            return cls(tuple(range(1, clients + 1)), clients, threshold)
        degree, least = found
        return cls(tuple(int(one) + 1 for one in Stream(seed).permutation(clients)), degree // 2, least)

    def holders(self, place: int) -> list[int]:
        """The closed neighbourhood of a client, by place."""
        size, at = len(self.circle), self.circle.index(place)
        if 2 * self.reach + 1 >= size:
            return sorted(self.circle)
        return sorted(self.circle[(at + step) % size] for step in range(-self.reach, self.reach + 1))

    def keeps(self, left: Collection[int]) -> bool:
        """Whether the graph bears that only these places are left: any two stretches that could cut it keep ``threshold``."""
        size = len(self.circle)
        there = np.isin(self.circle, list(left)).astype(np.int64)
        kept = np.convolve(np.concatenate([there, there[: self.reach - 1]]), np.ones(self.reach, dtype=np.int64), "valid")
        apart = range(self.reach + 1, size - self.reach)
        return all(int((kept + np.roll(kept, -steps)).min()) >= self.threshold for steps in apart)


@cache
def parameters(clients: int, corrupt: int, dropped: int) -> tuple[int, int] | None:
    """The least even degree k below ``clients`` - 1, and t, that keep the promises above; None where no such k does.

    A set of k places holds a hypergeometric number of the corrupt clients (2^-40 / 2^64 over all pairs of stretches that it reaches
    t), and of the dropped (2^-30 that fewer than t are left). Exact: all parties find the same.
    """
    pairs = comb(clients, 2)
    for k in range(4, clients - 1, 2):
        t = _reached(clients, corrupt, k, pairs << PRIVACY_BITS + TRIED_BITS)
        if _reached(clients, dropped, k, pairs << COMPLETION_BITS) + t <= k + 1:
            return k, t
    return None


def _reached(total: int, marked: int, drawn: int, scarce: int) -> int:
    """The least m such that m or more of the ``marked`` are among the ``drawn`` with probability 1 / ``scarce`` at most."""
    tail, least, ways = 0, min(marked, drawn) + 1, comb(total, drawn)
    while least > 0:
        tail += comb(marked, least - 1) * comb(total - marked, drawn - least + 1)
        if tail * scarce > ways:
            break
        least -= 1
    return least
