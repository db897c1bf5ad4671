"""Which clients share masks and secrets: up to 50 clients all with all, with more the neighbours in a random regular graph.

Bell, Bonawitz, Gascon, Lepoint, Raykova, *Secure Single-Server Aggregation with (Poly)Logarithmic Overhead*, CCS 2020 (SecAgg+):
clients stand in a circle in random order, and each one's neighbours are the k/2 next on either side (a Harary graph). The
conditions on k and on a neighbourhood's threshold t are stronger than in the paper, because here the aggregator may choose the
clients that drop out after it has seen the graph. The graph of the clients that are left splits only if two stretches of k/2 places
are empty, with clients between them on both sides. So every client checks that any two such stretches keep t survivors, and fewer
than t of them are corrupt. Then honest survivors are connected, and the corrupt clients of a neighbourhood cannot rebuild an honest
client's secret by themselves.
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
"""At most one in ``CORRUPT`` of the agreement's clients works with the aggregator. One in ``DROPPED`` on a roster may drop out."""
PRIVACY_BITS, TRIED_BITS, COMPLETION_BITS = 40, 64, 30
"""Privacy fails with probability 2^-40, even if 2^64 rosters are tried to get a bad graph. A sum stops needlessly with 2^-30."""


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
        """The graph of a roster of ``clients`` out of ``members`` clients, from 32 bytes that depend on the roster.

        ``threshold`` is that of all clients together. If all clients are neighbours, it is that of the neighbourhood too.
        """
        chosen = parameters(clients, min(members // CORRUPT, clients), clients // DROPPED) if clients > COMPLETE_UP_TO else None
        if chosen is None:
            return cls(tuple(range(1, clients + 1)), clients, threshold)
        degree, least = chosen
        return cls(tuple(int(index) + 1 for index in Stream(seed).permutation(clients)), degree // 2, least)

    def holders(self, place: int) -> list[int]:
        """The closed neighbourhood of a client, by place."""
        size, at = len(self.circle), self.circle.index(place)
        if 2 * self.reach + 1 >= size:
            return sorted(self.circle)
        return sorted(self.circle[(at + step) % size] for step in range(-self.reach, self.reach + 1))

    def keeps(self, left: Collection[int]) -> bool:
        """Whether enough places are left: any two stretches that could split the graph keep ``threshold`` of them."""
        size = len(self.circle)
        there = np.isin(self.circle, list(left)).astype(np.int64)
        kept = np.convolve(np.concatenate([there, there[: self.reach - 1]]), np.ones(self.reach, dtype=np.int64), "valid")
        apart = range(self.reach + 1, size - self.reach)
        return all(int((kept + np.roll(kept, -steps)).min()) >= self.threshold for steps in apart)


@cache
def parameters(clients: int, corrupt: int, dropped: int) -> tuple[int, int] | None:
    """The least even degree k below ``clients`` - 1, and t, that meet the conditions above; None if there is no such k.

    The numbers of corrupt and of dropped clients in k places are hypergeometric. Over all pairs of stretches, the probability is at
    most 2^-40 / 2^64 that t or more are corrupt, and 2^-30 that fewer than t are left. The arithmetic is exact: all parties get the
    same result.
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
