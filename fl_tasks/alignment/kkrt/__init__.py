"""Intersection of two data parties by oblivious transfer extension (Kolesnikov, Kumaresan, Rosulek, Trieu, CCS 2016).

It is for large lists: it needs a few symmetric operations per id, while Diffie-Hellman needs two exponentiations. The party with
fewer ids is the *receiver*. It places its ids into bins, at most one in each, and evaluates an oblivious pseudo-random function of
the bin at that id. The *sender* can evaluate the function of every bin at every id, and sends the values of its ids. Equal values
mean common ids.
"""

from __future__ import annotations

from collections.abc import Sequence

from tombolo.fl_tasks.alignment.kkrt import receiver, sender
from tombolo.fl_tasks.alignment.kkrt.ids import blocks
from tombolo.fl_tasks.runtime.session import Session


def common_rows(session: Session, ids: Sequence[str], salt: bytes, sizes: dict[str, int]) -> list[int]:
    """Positions in ``ids`` of the common ids, in the order that both parties share.

    ``salt`` and ``sizes`` are the results of :func:`tombolo.fl_tasks.alignment.salt.joint_salt`. Raises InvalidPoint, BadTransfer,
    UnknownToken or PartTooFull.
    """
    receives = min(session.data_parties, key=lambda party: (sizes[party], session.roles[party]))
    if session.me == receives:
        return receiver.common_rows(session, blocks(ids, salt), salt, sizes)
    return sender.common_rows(session, blocks(ids, salt), salt, sizes)
