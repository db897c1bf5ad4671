"""A salt that all data parties draw together, and the sizes of their lists, before any id is touched.

Every party commits to its part before it reveals it, so nobody can choose its part after seeing the others. Sizes are checked
against the agreed minimum here, so that nobody can test single ids with a very small list. With three or more data parties, each
shows only the size of its padded list.
"""

from __future__ import annotations

import hashlib

import pyarrow as pa

from tombolo.fl_tasks.alignment.state import SALT
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.canonical import canonical
from tombolo.storage.errors import CodedError
from tombolo.storage.meters import SIZE
from tombolo.storage.roles import DATA
from tombolo.storage.schema import Commitment, Disclosed, Message, MessageSet, Public

MESSAGES = MessageSet(
    "salt",
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
            "salt": Public("binary", "a random part of the joint salt", longest=32),
            "size": Disclosed("int64", "lists below the agreed minimum are refused", "one count per run", SIZE),
        },
        learns="how many ids the sender has; with three or more data parties, rounded up to a multiple of 1024",
        step="2",
        limit="one count per run",
    ),
)


class BrokenCommitment(CodedError):
    code = "TMB-ALIGN-004"
    cause = "A party revealed another salt or list size than it had committed to."
    remedy = "Start no new run with the named party until it has explained this from its log."


class ListTooSmall(CodedError):
    code = "TMB-ALIGN-005"
    cause = "A party's list of ids is smaller than the agreed minimum intersection."
    remedy = "Start a new run with a larger table, or agree on new terms with a smaller alignment.minimum_intersection."


class ListTooLarge(CodedError):
    code = "TMB-ALIGN-017"
    cause = "A party's list of ids is larger than the agreement allows."
    remedy = "Start a new run with a smaller table, or agree on new terms with a larger alignment.maximum_ids."


def joint_salt(session: Session, size: int, least: int, pad_to: int = 1) -> tuple[bytes, dict[str, int]]:
    """The joint salt (32 bytes) and the list size of each party, rounded up to a multiple of ``pad_to``.

    Raises ListTooSmall or ListTooLarge (a party checks its own size before rounding), or BrokenCommitment.
    """
    most = session.terms.alignment.maximum_ids
    if size < least:
        raise ListTooSmall(f"The list has {size} ids; at least {least} are agreed.", party=session.me)
    if size > most:
        raise ListTooLarge(f"The list has {size} ids; at most {most} are agreed.", party=session.me)
    shown = -(-size // pad_to) * pad_to
    own = session.state.keep(SALT, session.prf("salt").derive("part"))
    session.send("salt_commitment", hash=pa.array([_commitment(session.me, own, shown)], pa.binary(32)))
    committed = {party: session.scalar(table, "hash") for party, table in session.receive_all("salt_commitment").items()}
    session.send("salt_opening", salt=own, size=shown)
    parts, sizes = {session.me: own}, {session.me: shown}
    for party, table in session.receive_all("salt_opening").items():
        parts[party], sizes[party] = session.scalar(table, "salt"), session.scalar(table, "size")
        if _commitment(party, parts[party], sizes[party]) != committed[party]:
            raise BrokenCommitment(party=party)
        if sizes[party] < least or sizes[party] % pad_to:
            raise ListTooSmall(f"The list has {sizes[party]} ids; at least {least} are agreed.", party=party)
        if sizes[party] >= most + pad_to:
            raise ListTooLarge(f"The list has {sizes[party]} ids; at most {most} are agreed.", party=party)
    joint = hashlib.sha256(b"tombolo joint salt\0" + b"".join(parts[party] for party in sorted(parts)))
    return joint.digest(), sizes


def _commitment(party: str, salt: bytes, size: int) -> bytes:
    return hashlib.sha256(b"tombolo salt\0" + canonical([party, salt.hex(), str(size)])).digest()
