"""A salt that all data parties draw together, and the sizes of their lists, before any id is touched.

Commit, then reveal: nobody can choose its part after seeing another's. Sizes are checked against the agreed minimum here, so that a
tiny list cannot probe for single ids.
"""

from __future__ import annotations

import hashlib

import pyarrow as pa

from fl_tasks.session import Session
from storage.errors import CodedError
from storage.schema import DATA, Commitment, Disclosed, Message, Public

MESSAGES = (
    Message(
        "salt_commitment",
        DATA,
        DATA,
        {"hash": Commitment()},
        learns="nothing before it is opened",
        step="1",
    ),
    Message(
        "salt_opening",
        DATA,
        DATA,
        {
            "salt": Public("binary", "a random part of the joint salt"),
            "size": Disclosed("int64", "lists below the agreed minimum are refused", "one count per run"),
        },
        learns="how many ids the sender has",
        step="2",
        limit="one count per run",
    ),
)


class BrokenCommitment(CodedError):
    code = "TMB-ALIGN-004"
    cause = "A party's salt or list size is not the one that it committed to."
    remedy = "Stop working with that party until it has explained its log."


class ListTooSmall(CodedError):
    code = "TMB-ALIGN-005"
    cause = "A party's list of ids is smaller than the agreed minimum intersection."
    remedy = "Use more rows, or agree on a smaller alignment.minimum_intersection."


def joint_salt(session: Session, size: int, least: int) -> tuple[bytes, dict[str, int]]:
    """The joint salt (32 bytes) and everybody's list size. Raises ListTooSmall or BrokenCommitment."""
    if size < least:
        raise ListTooSmall(f"It has {size} ids; at least {least} are agreed.", party=session.me)
    own = session.keep("salt", session.prf("salt").derive("part"))
    session.send("salt_commitment", hash=pa.array([_commitment(own, size)], pa.binary(32)))
    committed = {party: session.values(table, "hash")[0].as_py() for party, table in session.receive_all("salt_commitment").items()}
    session.send("salt_opening", salt=own, size=size)
    parts, sizes = {session.me: own}, {session.me: size}
    for party, table in session.receive_all("salt_opening").items():
        parts[party], sizes[party] = session.scalar(table, "salt"), session.scalar(table, "size")
        if _commitment(parts[party], sizes[party]) != committed[party]:
            raise BrokenCommitment(party=party)
        if sizes[party] < least:
            raise ListTooSmall(f"It has {sizes[party]} ids; at least {least} are agreed.", party=party)
    joint = hashlib.sha256(b"tombolo joint salt\0" + b"".join(parts[party] for party in sorted(parts)))
    return joint.digest(), sizes


def _commitment(salt: bytes, size: int) -> bytes:
    return hashlib.sha256(b"tombolo salt\0" + len(salt).to_bytes(4, "big") + salt + str(size).encode()).digest()
