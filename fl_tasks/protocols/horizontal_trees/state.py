"""What clients and the aggregator keep of trees over the clients' rows."""

from __future__ import annotations

from tombolo.fl_tasks.runtime.state import BYTES, CLIENTS, DOCUMENT, STAGE, Item
from tombolo.storage.roles import CLIENT

VALIDATION = Item("validation", BYTES, "The seed that chooses the rows which measure each round.", CLIENT, STAGE)
START = Item("start", DOCUMENT, "The common bins, and the total that training starts from.", CLIENTS, STAGE)
ITEMS = (VALIDATION, START)
