"""The messages between receiver and sender, and the checks of what they receive."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tombolo.fl_tasks.crypto import ristretto
from tombolo.fl_tasks.crypto.vector import fixed_bytes
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import CodedError, blame
from tombolo.storage.meters import ROWS
from tombolo.storage.roles import DATA
from tombolo.storage.schema import BlindedPoint, KeyedToken, MaskedCode, Message, MessageSet, OprfTag, Public

GROUPS = ("first", "second", "third")
MESSAGES = MessageSet(
    "oblivious-transfer",
    Message(
        "base_choices",
        DATA,
        DATA,
        {"zero": BlindedPoint(), "one": BlindedPoint()},
        learns="nothing: both points of a pair are uniform, so they do not show which one the sender can open",
        step="3",
        rows=None,
    ),
    Message(
        "base_reply",
        DATA,
        DATA,
        {
            "point": BlindedPoint(),
            "seed": Public("binary", "places the sender's ids into bins; depends on them only with probability 2^-40"),
        },
        learns="one key of each pair: the key that the recipient has chosen",
        step="4",
    ),
    Message(
        "code_matrix",
        DATA,
        DATA,
        {"row": MaskedCode()},
        learns="nothing: every bit is masked with a pad that the recipient cannot remove",
        step="5",
        limit="the number of rows follows from the size of the sender's list",
        rows=None,
    ),
    Message(
        "id_tags",
        DATA,
        DATA,
        {name: OprfTag(ROWS) for name in GROUPS},
        learns="which of the recipient's own ids the sender has too; the other tags look random",
        step="6",
        limit="common ids only; the number of tags follows from the size of the sender's list, and tags are sorted by value",
        rows=None,
    ),
    Message(
        "common_tokens",
        DATA,
        DATA,
        {"token": KeyedToken(ROWS)},
        learns="which of the recipient's own ids the sender has too, in the common order",
        step="7",
        limit="common ids only: the recipient refuses a token that does not belong to one of its own ids",
        rows=None,
    ),
)


class BadTransfer(CodedError):
    code = "TMB-ALIGN-014"
    cause = "A party's message of the oblivious transfer has a wrong size or form for the sizes of the two lists."
    remedy = (
        "Install the same version of Tombolo at both parties and start a new run. If it happens again, start no run with the named "
        "party until it has explained this from its log."
    )


class UnknownToken(CodedError):
    code = "TMB-ALIGN-015"
    cause = "A party reports common ids that this party does not have."
    remedy = "Start no new run with the named party until it has explained this from its log."


class PartTooFull(CodedError):
    code = "TMB-ALIGN-016"
    cause = "One part of a large list holds more ids than its limit; with an honest salt, this happens in less than 1 of 2^40 runs."
    remedy = "Start a new run. It draws a new salt and divides the list in another way."


def to_column(values: npt.NDArray[Any]) -> pa.FixedSizeBinaryArray:
    """Rows of bytes or of 64-bit words as a fixed-size binary array that uses the same memory."""
    flat = np.ascontiguousarray(values)
    width = flat.shape[1] * flat.itemsize
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(flat), [None, pa.py_buffer(flat.data)])


def received_rows(session: Session, table: pa.Table, name: str, shape: tuple[int, int], party: str) -> npt.NDArray[np.uint8]:
    """A peer's column as bytes of this shape (rows, width); raises :class:`BadTransfer`."""
    rows, width = shape
    with blame(party):
        data = fixed_bytes(session.values(table, name), width, BadTransfer)
    if len(data) != rows * width:
        raise BadTransfer(f"Column {name} has {len(data) // width} rows instead of {rows}.", party=party)
    return np.frombuffer(data, np.uint8).reshape(shape)


def received_points(session: Session, table: pa.Table, name: str, count: int, party: str) -> list[bytes]:
    """A peer's column as ``count`` valid points; raises InvalidPoint or :class:`BadTransfer`."""
    with blame(party):
        points = ristretto.points_from_arrow(session.values(table, name))
    listed = ristretto.split(points)
    if len(listed) != count:
        raise BadTransfer(f"Column {name} has {len(listed)} points instead of {count}.", party=party)
    return listed
