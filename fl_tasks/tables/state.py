"""What a party keeps of the table of a run."""

from __future__ import annotations

from tombolo.fl_tasks.runtime.state import BYTES, DOCUMENT, Item
from tombolo.storage.roles import HOLDERS

VALIDATED = Item(
    "validated", DOCUMENT, "The validated table: its hash, its numbers of rows, and the name under which it is kept.", HOLDERS
)
PREPARED = Item(
    "prepared/{table}-{chunk:06d}",
    BYTES,
    "The rows of the validated table, until alignment has pinned what the run needs of them.",
    HOLDERS,
)
ITEMS = (VALIDATED, PREPARED)
