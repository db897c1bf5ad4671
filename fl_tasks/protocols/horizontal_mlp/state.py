"""The private objects of the aggregator: sums with their noise."""

from __future__ import annotations

from tombolo.fl_tasks.runtime.state import STAGE, Item, numbers
from tombolo.storage.roles import AGGREGATOR

NOISY = Item(
    "noisy/{round:06d}", numbers("<f8"), "The noisy sums of a round, kept before anything of them is sent.", AGGREGATOR, STAGE
)
ITEMS = (NOISY,)
