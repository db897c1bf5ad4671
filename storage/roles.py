"""The roles of parties in an agreement, and which of them do what; imports nothing, for whoever must start quickly.

A protocol may have roles of its own besides these; where nothing else is said of one, it has no table.
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
"""The one role of an agreement that starts its runs, by the agreement's kind."""
EVERYONE, INVITED = "everyone", "everyone invited"
"""In declared messages: any role whatever, and any but who starts runs."""


def includes(named: str | tuple[str, ...], role: str) -> bool:
    """Whether a role is among those that a message is declared for."""
    if named == INVITED:
        return role not in INITIATORS
    return named == EVERYONE or role == named or (not isinstance(named, str) and role in named)
