"""The private objects of an alignment, other than its result."""

from __future__ import annotations

from tombolo.fl_tasks.runtime.state import BYTES, STAGE, Item
from tombolo.storage.roles import DATA

SALT = Item("salt", BYTES, "This party's part of the salt that ids are hashed with.", DATA, place=STAGE)
ITEMS = (SALT,)
