"""Two data parties: they tell each other the sizes of their lists. From the sizes, both choose the same alignment protocol."""

from __future__ import annotations

from collections.abc import Sequence

from tombolo.fl_tasks.alignment import kkrt, two_party
from tombolo.fl_tasks.alignment.salt import joint_salt
from tombolo.fl_tasks.runtime.session import Session

_LARGE = 100_000


def common_rows(session: Session, ids: Sequence[str], least: int) -> list[int]:
    """Positions in ``ids`` of the common ids, in the order that both parties share."""
    salt, sizes = joint_salt(session, len(ids), least)
    protocol = session.terms.alignment.protocol
    if protocol == "kkrt" or (protocol == "auto" and max(sizes.values()) >= _LARGE):
        return kkrt.common_rows(session, ids, salt, sizes)
    return two_party.common_rows(session, ids, salt, sizes)
