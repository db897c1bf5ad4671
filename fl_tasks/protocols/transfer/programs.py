"""The role programs."""

from __future__ import annotations

from tombolo.fl_tasks.protocols.transfer.messages import MESSAGES
from tombolo.fl_tasks.protocols.transfer.source import guest
from tombolo.fl_tasks.protocols.transfer.target import host

__all__ = ["MESSAGES", "guest", "host"]
