"""Intersection of three or more data parties: commutative blinding around a ring, intersected by the arbiter.

Every party's list, in an order known to that party alone, passes every other party once and is raised to each secret exponent. The
fully blinded lists go to the arbiter (without one, to the guest), which intersects tokens, sorts the common ones, and tells each
owner which of its positions are common. Lists are padded with random points to a multiple of 1024 first.
"""

from __future__ import annotations

from collections.abc import Sequence

from fl_tasks.alignment.salt import joint_salt
from fl_tasks.alignment.two_party import DOMAIN, WrongListSize, split
from fl_tasks.crypto import ristretto
from fl_tasks.session import Session
from storage.schema import ARBITER, DATA, GUEST, BlindedPoint, Disclosed, Message

_PAD_TO = 1024
_POINT = ristretto.POINT_BYTES
MESSAGES = (
    Message(
        "ring_list",
        DATA,
        DATA,
        {"point": BlindedPoint()},
        learns="nothing: points under at least one exponent unknown to the recipient, in the owner's random order",
        step="3",
    ),
    Message(
        "final_list",
        DATA,
        (ARBITER, GUEST),
        {"point": BlindedPoint()},
        learns="sizes of the padded lists and of all their intersections; no id",
        step="4",
        limit="sizes only, rounded up to 1024 for single lists",
    ),
    Message(
        "common_positions",
        (ARBITER, GUEST),
        DATA,
        {"position": Disclosed("int64", "which of the recipient's own ids are common to all", "one list per run")},
        learns="which of its own ids all parties have, in the common order",
        step="5",
        limit="common ids only",
    ),
)


class BadPositions(WrongListSize):
    code = "TMB-ALIGN-007"
    cause = "The intersecting party returned positions that cannot be."
    remedy = "Both sides must run the same version; ask the arbiter."


def common_rows(session: Session, ids: Sequence[str], least: int) -> list[int]:
    """Positions in ``ids`` of those that all data parties have, in the order that all share."""
    parties = session.data_parties
    me, count = parties.index(session.me), len(parties)
    salt, sizes = joint_salt(session, len(ids), least)
    padded = {party: -(-size // _PAD_TO) * _PAD_TO for party, size in sizes.items()}
    order = session.prf("order").stream().permutation(padded[session.me])
    exponent = ristretto.random_scalar(session.prf("exponent").stream())
    noise = session.prf("padding").stream()
    items = [one.encode() for one in ids] + [noise.bytes(32) for _ in range(padded[session.me] - len(ids))]
    points = ristretto.hash_all([items[at] for at in order], DOMAIN + salt, session.pool)
    points = ristretto.exponentiate(points, exponent, session.pool)
    after, before, own_final = parties[(me + 1) % count], parties[me - 1], {}
    for hop in range(1, count):
        session.enter(hop)
        session.send("ring_list", after, point=ristretto.points_to_arrow(points))
        owner = parties[(me - hop) % count]
        received = _points(session, "ring_list", before, padded[owner])
        points = ristretto.exponentiate(received, exponent, session.pool)
    session.enter(count)
    owner = parties[(me + 1) % count]
    if _intersector(session) == session.me:
        own_final[owner] = points
        positions = intersect(session, own_final)[session.me]
    else:
        session.send("final_list", _intersector(session), point=ristretto.points_to_arrow(points))
        table = session.receive("common_positions", _intersector(session))
        positions = session.values(table, "position").to_pylist()
    if len(set(positions)) != len(positions) or any(not 0 <= at < len(order) for at in positions):
        raise BadPositions(party=_intersector(session))
    rows = [int(order[at]) for at in positions]
    if any(row >= len(ids) for row in rows):
        raise BadPositions("A padding point is said to be common.", party=_intersector(session))
    return rows


def arbiter(session: Session) -> None:
    """The arbiter intersects what it cannot read."""
    session.enter(len(session.data_parties))
    intersect(session, {})


def intersect(session: Session, lists: dict[str, bytes]) -> dict[str, list[int]]:
    """Collect the final lists (``lists`` holds those already here), tell every owner its positions, and return them all."""
    parties = session.data_parties
    for index, party in enumerate(parties):
        owner = parties[(index + 1) % len(parties)]
        if party != session.me:
            lists[owner] = _points(session, "final_list", party, None)
    common = set.intersection(*(set(split(points)) for points in lists.values()))
    positions = {}
    for owner, points in lists.items():
        found = sorted((token, at) for at, token in enumerate(split(points)) if token in common)
        positions[owner] = [at for _, at in found]
        if owner != session.me:
            session.send("common_positions", owner, position=positions[owner])
    return positions


def _intersector(session: Session) -> str:
    return session.arbiter or session.guest


def _points(session: Session, name: str, sender: str, size: int | None) -> bytes:
    points = ristretto.points_from_arrow(session.values(session.receive(name, sender), "point"), session.pool)
    count = len(points) // _POINT
    if (size is not None and count != size) or len(set(split(points))) != count:
        raise WrongListSize(party=sender)
    return points
