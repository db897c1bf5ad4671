"""The roles of parties in an agreement, and which of them do what; imports nothing, for whoever must start quickly."""

from __future__ import annotations

GUEST, HOST, ARBITER = "guest", "host", "arbiter"
CLIENT, AGGREGATOR = "client", "aggregator"
DATA = (GUEST, HOST)
EVERYONE = (GUEST, HOST, ARBITER, CLIENT, AGGREGATOR)
VERTICAL = (GUEST, HOST, ARBITER)
HOLDERS = (GUEST, HOST, CLIENT)
"""Roles that have a table."""
LABELLED = (GUEST, CLIENT)
"""Roles whose table has the label."""
INITIATORS = (GUEST, AGGREGATOR)
"""The one role of an agreement that starts its runs, by the agreement's kind."""
INVITED = tuple(role for role in EVERYONE if role not in INITIATORS)
