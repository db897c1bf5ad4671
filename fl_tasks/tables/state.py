"""What a party keeps of the table of a run."""

from __future__ import annotations

from tombolo.fl_tasks.runtime.state import BYTES, DOCUMENT, Item
from tombolo.storage.roles import HOLDERS

VALIDATED = Item("validated", DOCUMENT, "Hash and numbers of rows of the table that was validated, and its name below.", HOLDERS)
PREPARED = Item(
    "prepared/{table}-{chunk:06d}", BYTES, "The validated table, until alignment has pinned what the run needs of it.", HOLDERS
)
ITEMS = (VALIDATED, PREPARED)
