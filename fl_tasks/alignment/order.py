"""After the intersection: check that all data parties hold the same rows in the same order, and share which rows are held out."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import CodedError
from tombolo.storage.roles import DATA, GUEST, HOST
from tombolo.storage.schema import Commitment, Message, MessageSet, Public

MESSAGES = MessageSet(
    "order",
    Message(
        "split",
        GUEST,
        HOST,
        {"test": Public("bool", "which aligned rows are held out; drawn at random or given by the guest")},
        learns="which aligned rows are held out for evaluation",
        step="8",
        rows=None,
    ),
    Message(
        "order_digest",
        DATA,
        DATA,
        {"hash": Commitment()},
        learns="whether the sender has the same aligned ids in the same order",
        step="9",
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


def share_split(session: Session, test: npt.NDArray[np.bool_] | None, rows: int) -> npt.NDArray[np.bool_]:
    """The guest's held-out rows at every data party, shape (rows,)."""
    if test is not None:
        session.send("split", test=test.tolist())
        return test
    received = session.values(session.receive("split", session.guest, rows), "test").to_numpy(zero_copy_only=False)
    if len(received) != rows:
        raise OrderMismatch("The split does not have one value for each aligned row.", party=session.guest)
    return np.asarray(received, dtype=bool)
