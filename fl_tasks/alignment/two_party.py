"""Diffie-Hellman intersection of two data parties over ristretto255 (Meadows 1986; Huberman, Franklin, Hogg 1999).

Each party blinds the hashes of its ids with a secret exponent and sends them in a random order. Each party then raises the received
list to its own exponent and keeps the order. Equal ids become equal points under both exponents. Both parties learn the common ids
and the size of the other list.
"""

from __future__ import annotations

from collections.abc import Sequence

from tombolo.fl_tasks.crypto import ristretto
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import CodedError, blame
from tombolo.storage.meters import ROWS
from tombolo.storage.roles import DATA
from tombolo.storage.schema import BlindedPoint, Message, MessageSet

DOMAIN = b"tombolo/alignment/1/"
_POINT = ristretto.POINT_BYTES
MESSAGES = MessageSet(
    "two-party",
    Message(
        "blinded_ids",
        DATA,
        DATA,
        {"point": BlindedPoint()},
        learns="nothing: points under the sender's secret exponent, in random order",
        step="3",
        rows=None,
    ),
    Message(
        "doubly_blinded_ids",
        DATA,
        DATA,
        {"point": BlindedPoint(ROWS)},
        learns="which of the recipient's own ids the sender has too",
        step="4",
        limit="common ids only; lists below the agreed minimum are refused before this step",
        rows=None,
    ),
)


class WrongListSize(CodedError):
    code = "TMB-ALIGN-006"
    cause = "A party's list has another size than it committed to, or contains a point twice."
    remedy = "Start no new run with the named party until it has explained this from its log."


def common_rows(session: Session, ids: Sequence[str], salt: bytes, sizes: dict[str, int]) -> list[int]:
    """Positions in ``ids`` of the common ids, in the order that both parties share.

    ``salt`` and ``sizes`` are the results of :func:`tombolo.fl_tasks.alignment.salt.joint_salt`.
    """
    (peer,) = (party for party in session.data_parties if party != session.me)
    order = session.prf("order").stream().permutation(len(ids))
    exponent = ristretto.random_scalar(session.prf("exponent").stream())
    hashed = ristretto.hash_all([ids[at].encode() for at in order], DOMAIN + salt, session.threads)
    session.send("blinded_ids", point=ristretto.points_to_arrow(ristretto.exponentiate(hashed, exponent, session.threads)))
    theirs = _list(session, "blinded_ids", peer, sizes[peer])
    theirs_twice = ristretto.exponentiate(theirs, exponent, session.threads)
    session.send("doubly_blinded_ids", point=ristretto.points_to_arrow(theirs_twice))
    mine_twice = _list(session, "doubly_blinded_ids", peer, len(ids))
    other = set(ristretto.split(theirs_twice))
    common = sorted((token, at) for at, token in enumerate(ristretto.split(mine_twice)) if token in other)
    return [int(order[at]) for _, at in common]


def _list(session: Session, name: str, peer: str, size: int) -> bytes:
    table = session.receive(name, peer, size)
    with blame(peer):
        points = ristretto.points_from_arrow(session.values(table, "point"), session.threads)
    if len(points) != size * _POINT or len(set(ristretto.split(points))) != size:
        raise WrongListSize(party=peer)
    return points
