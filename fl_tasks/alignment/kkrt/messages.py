"""What the two roles send each other, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tombolo.fl_tasks.crypto import ristretto
from tombolo.fl_tasks.crypto.vector import fixed_bytes
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import CodedError, blame
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
        learns="nothing: both points of a pair are uniform, whichever the sender can open",
        step="3",
    ),
    Message(
        "base_reply",
        DATA,
        DATA,
        {"point": BlindedPoint(), "seed": Public("binary", "places the sender's ids into bins; independent of them but for 2^-40")},
        learns="one key of each pair, of its choice",
        step="4",
    ),
    Message(
        "code_matrix",
        DATA,
        DATA,
        {"row": MaskedCode()},
        learns="nothing: every bit is under a pad that the recipient cannot remove",
        step="5",
        limit="as many rows as the size of the sender's list says",
    ),
    Message(
        "id_tags",
        DATA,
        DATA,
        {name: OprfTag() for name in GROUPS},
        learns="which of its own ids the sender has too; the other tags look random",
        step="6",
        limit="common ids only; as many tags as the size of the sender's list says, in the order of their values",
    ),
    Message(
        "common_tokens",
        DATA,
        DATA,
        {"token": KeyedToken()},
        learns="which of its own ids the sender has too, in the common order",
        step="7",
        limit="common ids only: a token that is none of the recipient's own is refused",
    ),
)


class BadTransfer(CodedError):
    code = "TMB-ALIGN-014"
    cause = "A party's message of the oblivious transfer does not have the size or the form that both lists' sizes give it."
    remedy = "Both sides must run the same version; stop working with that party until it has explained its log."


class UnknownToken(CodedError):
    code = "TMB-ALIGN-015"
    cause = "A party says that ids are common which the other does not have."
    remedy = "Stop working with that party until it has explained its log."


class PartTooFull(CodedError):
    code = "TMB-ALIGN-016"
    cause = "One part of a large list holds more ids than its bound, which an honest draw does less than once in 2^40 runs."
    remedy = "Start a new run, which divides the list anew."


def to_column(values: npt.NDArray[Any]) -> pa.FixedSizeBinaryArray:
    """Rows of bytes, or of 64-bit words, as a fixed-size binary array of the same memory."""
    flat = np.ascontiguousarray(values)
    width = flat.shape[1] * flat.itemsize
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(flat), [None, pa.py_buffer(flat.data)])


def received_rows(session: Session, table: pa.Table, name: str, shape: tuple[int, int], party: str) -> npt.NDArray[np.uint8]:
    """A peer's column as bytes of this shape (rows, width); raises :class:`BadTransfer`."""
    rows, width = shape
    with blame(party):
        data = fixed_bytes(session.values(table, name), width, BadTransfer)
    if len(data) != rows * width:
        raise BadTransfer(f"{name}: {len(data) // width} rows, not {rows}.", party=party)
    return np.frombuffer(data, np.uint8).reshape(shape)


def received_points(session: Session, table: pa.Table, name: str, count: int, party: str) -> list[bytes]:
    """A peer's column as so many valid points; raises InvalidPoint or :class:`BadTransfer`."""
    with blame(party):
        points = ristretto.points_from_arrow(session.values(table, name))
    listed = ristretto.split(points)
    if len(listed) != count:
        raise BadTransfer(f"{name}: {len(listed)} points, not {count}.", party=party)
    return listed
