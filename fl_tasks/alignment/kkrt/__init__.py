"""Intersection of two data parties by oblivious transfer extension (Kolesnikov, Kumaresan, Rosulek, Trieu, CCS 2016).

For large lists: a few symmetric operations per id, where Diffie-Hellman takes two exponentiations. The party with fewer ids is the
*receiver*: it places its ids into bins, one each, and evaluates in every bin an oblivious pseudo-random function at that id. The
*sender* can evaluate it anywhere, and sends its ids' values; equal values are common ids.
"""

from __future__ import annotations

from collections.abc import Sequence

from tombolo.fl_tasks.alignment.kkrt import receiver, sender
from tombolo.fl_tasks.alignment.kkrt.ids import blocks
from tombolo.fl_tasks.runtime.session import Session


def common_rows(session: Session, ids: Sequence[str], salt: bytes, sizes: dict[str, int]) -> list[int]:
    """Positions in ``ids`` of the common ones, in the order that both parties share.

    ``salt`` and ``sizes`` are what :func:`tombolo.fl_tasks.alignment.salt.joint_salt` gave. Raises InvalidPoint, BadTransfer,
    UnknownToken or PartTooFull.
    """
    receives = min(session.data_parties, key=lambda party: (sizes[party], session.roles[party]))
    if session.me == receives:
        return receiver.common_rows(session, blocks(ids, salt), salt, sizes)
    return sender.common_rows(session, blocks(ids, salt), salt, sizes)
