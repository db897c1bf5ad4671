"""The private objects of clients and aggregator in horizontal trees."""

from __future__ import annotations

from tombolo.fl_tasks.runtime.state import BYTES, CLIENTS, DOCUMENT, STAGE, Item
from tombolo.storage.roles import CLIENT

VALIDATION = Item("validation", BYTES, "The seed that chooses the validation rows.", CLIENT, STAGE)
START = Item("start", DOCUMENT, "The common bins, and the margin that training starts from.", CLIENTS, STAGE)
ITEMS = (VALIDATION, START)
