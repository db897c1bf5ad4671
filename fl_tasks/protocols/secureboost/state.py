"""The private objects of the guest: the names of the columns of hosts."""

from __future__ import annotations

from tombolo.fl_tasks.runtime.state import DOCUMENT, STAGE, Item
from tombolo.storage.roles import GUEST

NAMES = Item("names", DOCUMENT, "The names of columns that hosts disclosed, or their aliases.", GUEST, STAGE)
ITEMS = (NAMES,)
