"""All messages of the alignment stage."""

from __future__ import annotations

from tombolo.fl_tasks.alignment import order, ring, salt, two_party
from tombolo.fl_tasks.alignment.kkrt import messages as kkrt
from tombolo.storage.schema import MessageSet

KKRT = MessageSet("kkrt", salt.MESSAGES, kkrt.MESSAGES)
"""The messages of two parties with large lists, until they know which ids are common."""

MESSAGES = MessageSet("alignment", salt.MESSAGES, two_party.MESSAGES, ring.MESSAGES, kkrt.MESSAGES, order.MESSAGES)
