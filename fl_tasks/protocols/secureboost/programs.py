"""The role programs."""

from __future__ import annotations

from tombolo.fl_tasks.protocols.secureboost.guest import guest
from tombolo.fl_tasks.protocols.secureboost.host import host
from tombolo.fl_tasks.protocols.secureboost.messages import MESSAGES
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.session import Session

__all__ = ["MESSAGES", "arbiter", "guest", "host"]


def arbiter(session: Session) -> State:
    """An arbiter has no part in this protocol."""
    return {"round": 0, "stopped": True, "loss": []}
