"""What a party keeps of trees, besides its checkpoints."""

from __future__ import annotations

from tombolo.fl_tasks.runtime.state import LISTING, STAGE, Item
from tombolo.storage.roles import HOLDERS, LABELLED

RECORDS = Item("records/{round:06d}", LISTING, "The columns and cuts of a party's own splits of a round.", HOLDERS, STAGE)
TREES = Item("trees/{round:06d}", LISTING, "A round's trees; a host's splits are named by number.", LABELLED, STAGE)
ITEMS = (RECORDS, TREES)
