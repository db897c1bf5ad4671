"""What a party keeps of trees, besides its checkpoints."""

from __future__ import annotations

from tombolo.fl_tasks.runtime.state import LISTING, STAGE, Item
from tombolo.storage.roles import DATA, GUEST

RECORDS = Item("records/{round:06d}", LISTING, "The columns and cuts of a party's own splits of a round.", DATA, STAGE)
TREES = Item("trees/{round:06d}", LISTING, "A round's trees; a host's splits are named by number.", GUEST, STAGE)
ITEMS = (RECORDS, TREES)
