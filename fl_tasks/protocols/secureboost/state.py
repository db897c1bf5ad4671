"""What the guest keeps of the hosts' columns."""

from __future__ import annotations

from tombolo.fl_tasks.runtime.state import DOCUMENT, STAGE, Item
from tombolo.storage.roles import GUEST

NAMES = Item("names", DOCUMENT, "The names that hosts disclosed of their columns.", GUEST, STAGE)
ITEMS = (NAMES,)
