"""Intersection of three or more data parties: commutative blinding around a ring, intersected by the arbiter.

Every party first pads its list with random points to a multiple of 1024, and puts it in an order that only this party knows. The
list then goes to every other party once, and each party raises it to its secret exponent. The fully blinded lists go to the
arbiter. The arbiter intersects the tokens, sorts the common ones, and tells each owner which of its positions are common.

Without an arbiter the guest intersects. But the guest knows the order of its own list, so it would see which of its ids each host
has. Therefore the last host, which receives the guest's list at the end, shuffles the list once more and translates the positions.
"""

from __future__ import annotations

from collections.abc import Sequence

from tombolo.fl_tasks.alignment.salt import joint_salt
from tombolo.fl_tasks.alignment.two_party import DOMAIN, WrongListSize
from tombolo.fl_tasks.crypto import ristretto
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import blame
from tombolo.storage.meters import ROWS
from tombolo.storage.roles import ARBITER, DATA, GUEST, HOST
from tombolo.storage.schema import BlindedPoint, Disclosed, Message, MessageSet

_PAD_TO = 1024
_POINT = ristretto.POINT_BYTES
MESSAGES = MessageSet(
    "ring",
    Message(
        "ring_list",
        DATA,
        DATA,
        {"point": BlindedPoint()},
        learns="nothing: points under at least one exponent that the recipient does not know, in the owner's random order",
        step="3",
        rows=None,
    ),
    Message(
        "final_list",
        DATA,
        (ARBITER, GUEST),
        {"point": BlindedPoint()},
        learns="sizes of the padded lists and of all their intersections; no id",
        step="4",
        limit="sizes only, rounded up to 1024 for single lists",
        rows=None,
    ),
    Message(
        "common_positions",
        (ARBITER, GUEST),
        DATA,
        {"position": Disclosed("int64", "which of the recipient's own ids are common to all", "one list per run", ROWS)},
        learns="which of the recipient's own ids all parties have, in the common order",
        step="5",
        limit="common ids only",
        rows=None,
    ),
    Message(
        "shuffled_positions",
        GUEST,
        HOST,
        {"position": Disclosed("int64", "which points of the guest's shuffled list are common to all", "one list per run", ROWS)},
        learns="only how many there are: the points are in an order that the recipient drew (only without an arbiter)",
        step="5",
        limit="no id: the guest's points are blinded and in the guest's random order",
        rows=None,
    ),
    Message(
        "guest_positions",
        HOST,
        GUEST,
        {"position": Disclosed("int64", "which of the guest's own ids are common to all", "one list per run", ROWS)},
        learns="which of the recipient's own ids all parties have, in the common order (only without an arbiter)",
        step="5",
        limit="common ids only",
        rows=None,
    ),
)


class BadPositions(WrongListSize):
    code = "TMB-ALIGN-007"
    cause = "The party that intersects the lists returned impossible positions."
    remedy = "Install the same version of Tombolo at all parties and start a new run. If it happens again, ask the named party."


def common_rows(session: Session, ids: Sequence[str], least: int) -> list[int]:
    """Positions in ``ids`` of the ids that all data parties have, in the order that all parties share."""
    parties = session.data_parties
    me, count = parties.index(session.me), len(parties)
    salt, padded = joint_salt(session, len(ids), least, _PAD_TO)
    order = session.prf("order").stream().permutation(padded[session.me])
    exponent = ristretto.random_scalar(session.prf("exponent").stream())
    noise = session.prf("padding").stream()
    items = [row_id.encode() for row_id in ids] + [noise.bytes(32) for _ in range(padded[session.me] - len(ids))]
    points = ristretto.hash_all([items[at] for at in order], DOMAIN + salt, session.threads)
    points = ristretto.exponentiate(points, exponent, session.threads)
    after, before = parties[(me + 1) % count], parties[me - 1]
    for hop in range(1, count):
        session.enter(hop)
        session.send("ring_list", after, point=ristretto.points_to_arrow(points))
        owner = parties[(me - hop) % count]
        received = _points(session, "ring_list", before, padded[owner])
        points = ristretto.exponentiate(received, exponent, session.threads)
    session.enter(count)
    owner = parties[(me + 1) % count]
    if session.arbiter is not None:
        session.send("final_list", session.arbiter, point=ristretto.points_to_arrow(points))
        positions = _positions(session, "common_positions", session.arbiter, len(order))
    elif session.me == session.guest:
        intersect(session, {owner: points})
        positions = _positions(session, "guest_positions", _shuffler(session), len(order))
    else:
        if session.me == _shuffler(session):
            _shuffled(session, points)
        else:
            session.send("final_list", session.guest, point=ristretto.points_to_arrow(points))
        positions = _positions(session, "common_positions", session.guest, len(order))
    rows = [int(order[at]) for at in positions]
    if any(row >= len(ids) for row in rows):
        raise BadPositions("The position of a padding point is among them.", party=session.arbiter or session.guest)
    return rows


def arbiter(session: Session) -> None:
    """The arbiter's part: intersect the blinded lists, whose ids it cannot read."""
    session.enter(len(session.data_parties))
    intersect(session, {})


def _shuffled(session: Session, points: bytes) -> None:
    """Send the guest its own list in a new order, and translate the common positions that it returns."""
    order = session.prf("shuffle").stream().permutation(len(points) // _POINT)
    listed = ristretto.split(points)
    session.send("final_list", session.guest, point=ristretto.points_to_arrow(b"".join([listed[at] for at in order])))
    common = _positions(session, "shuffled_positions", session.guest, len(order))
    session.send("guest_positions", session.guest, position=[int(order[at]) for at in common])


def intersect(session: Session, lists: dict[str, bytes]) -> None:
    """Collect the final lists (``lists`` holds those that are already here) and tell every owner its common positions."""
    parties = session.data_parties
    for index, party in enumerate(parties):
        owner = parties[(index + 1) % len(parties)]
        if party != session.me:
            lists[owner] = _points(session, "final_list", party, None)
    common = set.intersection(*(set(ristretto.split(points)) for points in lists.values()))
    for owner, points in lists.items():
        matches = sorted((token, at) for at, token in enumerate(ristretto.split(points)) if token in common)
        name, to = ("shuffled_positions", _shuffler(session)) if owner == session.me else ("common_positions", owner)
        session.send(name, to, position=[at for _, at in matches])


def _shuffler(session: Session) -> str:
    """The last host: the guest's list arrives there at the end of the ring."""
    return session.hosts[-1]


def _positions(session: Session, name: str, sender: str, size: int) -> list[int]:
    """Distinct positions below ``size``; raises :class:`BadPositions`."""
    positions: list[int] = session.values(session.receive(name, sender, size), "position").to_pylist()
    if len(set(positions)) != len(positions) or any(not 0 <= at < size for at in positions):
        raise BadPositions(party=sender)
    return positions


def _points(session: Session, name: str, sender: str, size: int | None) -> bytes:
    table = session.receive(name, sender, session.terms.alignment.maximum_ids + _PAD_TO if size is None else size)
    with blame(sender):
        points = ristretto.points_from_arrow(session.values(table, "point"), session.threads)
    count = len(points) // _POINT
    if (size is not None and count != size) or len(set(ristretto.split(points))) != count:
        raise WrongListSize(party=sender)
    return points
