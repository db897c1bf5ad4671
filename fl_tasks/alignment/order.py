"""After the intersection: which common rows take part and which are held out, and whether all hold the same rows in the same
order.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import CodedError
from tombolo.storage.meters import ROWS
from tombolo.storage.roles import DATA, GUEST, HOST
from tombolo.storage.schema import Commitment, Disclosed, Message, MessageSet, Public

WAITS, LEARNT, HELD_OUT = 0, 1, 2
MESSAGES = MessageSet(
    "order",
    Message(
        "group",
        DATA,
        DATA,
        {
            "training": Public("int64", "the fewest people in whom the training rows of two runs may differ for the sender"),
            "held_out": Public("int64", "the same for the held-out rows"),
        },
        learns="how large a group of changed rows must be for the sender",
        step="8",
        limit="it follows from the columns, and at the guest from the share of the rarer class; rounded up to two digits",
    ),
    Message(
        "places",
        GUEST,
        HOST,
        {"place": Public("int64", "which common rows wait, are trained on, or are held out", most=2)},
        learns="which common rows wait for a later run, which are trained on, and which are held out",
        step="9",
        rows=None,
    ),
    Message(
        "leaving",
        DATA,
        DATA,
        {"leaves": Disclosed("bool", "which common rows are used no longer", "leavers wait, and take companions with them", ROWS)},
        learns="which common rows leave for good; those who asked for it are hidden among others",
        step="10",
        rows=None,
    ),
    Message(
        "order_digest",
        DATA,
        DATA,
        {"hash": Commitment()},
        learns="whether the sender has the same aligned ids in the same order",
        step="11",
        limit="the hash has a secret key of the data parties, so nobody else can test guessed ids against it",
    ),
)


class OrderMismatch(CodedError):
    code = "TMB-ALIGN-008"
    cause = "Two parties hold different aligned rows, or the same rows in another order."
    remedy = (
        "Nothing was trained. Compare the id columns, their canonical form and the Tombolo version at both parties; then start a "
        "new run."
    )


def check_order(session: Session, ids: Sequence[str]) -> None:
    """Compare keyed digests of the aligned ids among the data parties; raises :class:`OrderMismatch`."""
    key = session.common().derive("order digest")
    joined = b"".join(len(row_id.encode()).to_bytes(4, "big") + row_id.encode() for row_id in ids)
    mine = hmac.digest(key, joined, "sha256")
    session.send("order_digest", hash=pa.array([mine], pa.binary(32)))
    for party, table in session.receive_all("order_digest").items():
        if not hmac.compare_digest(session.scalar(table, "hash"), mine):
            raise OrderMismatch(party=party)


def share_group(session: Session, own: Mapping[bool, int]) -> dict[bool, int]:
    """The largest of all data parties' smallest groups: of training rows (False) and of held-out rows (True)."""
    session.send("group", training=own[False], held_out=own[True])
    largest = dict(own)
    for table in session.receive_all("group").values():
        for test, name in ((False, "training"), (True, "held_out")):
            largest[test] = max(largest[test], int(session.scalar(table, name)))
    return largest


def share_places(session: Session, places: npt.NDArray[np.int64] | None, rows: int) -> npt.NDArray[np.int64]:
    """The guest's places of the common rows at every data party, shape (rows,): :data:`WAITS`, :data:`LEARNT` or
    :data:`HELD_OUT`.
    """
    if places is not None:
        session.send("places", place=places.tolist())
        return places
    return _column(session, session.receive("places", session.guest, rows), "place", rows, session.guest)


def share_leaving(session: Session, own: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which common rows leave at any data party, shape (rows,)."""
    session.send("leaving", leaves=own.tolist())
    leaving = own.copy()
    for party, table in session.receive_all("leaving", len(own)).items():
        leaving |= _column(session, table, "leaves", len(own), party).astype(bool)
    return leaving


def _column(session: Session, table: pa.Table, name: str, rows: int, party: str) -> npt.NDArray[Any]:
    received = session.values(table, name).to_numpy(zero_copy_only=False)
    if len(received) != rows:
        raise OrderMismatch(f"Column {name} does not have one value for each aligned row.", party=party)
    return np.asarray(received)
