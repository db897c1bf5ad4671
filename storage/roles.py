"""The roles of parties in an agreement, and what each does. This module imports nothing, so that tasks start quickly.

A protocol may have more roles. Such a role has no table, unless the protocol says so.
"""

from __future__ import annotations

GUEST, HOST, ARBITER = "guest", "host", "arbiter"
CLIENT, AGGREGATOR = "client", "aggregator"
DATA = (GUEST, HOST)
HOLDERS = (GUEST, HOST, CLIENT)
"""Roles that have a table."""
LABELLED = (GUEST, CLIENT)
"""Roles whose table has the label."""
INITIATORS = (GUEST, AGGREGATOR)
"""The roles that start runs: the guest of a vertical agreement, the aggregator of a horizontal one."""
MOST_PARTIES = 10_000
"""The most parties of an agreement."""
EVERYONE, INVITED = "everyone", "everyone invited"
"""Words in declared messages: every role, and every role except the one that starts runs."""


def includes(named: str | tuple[str, ...], role: str) -> bool:
    """Whether ``role`` is one of the roles ``named`` in a declared message."""
    if named == INVITED:
        return role not in INITIATORS
    return named == EVERYONE or role == named or (not isinstance(named, str) and role in named)
