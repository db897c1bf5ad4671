"""What the aggregator keeps of noise."""

from __future__ import annotations

from tombolo.fl_tasks.runtime.state import STAGE, Item, numbers
from tombolo.storage.roles import AGGREGATOR

NOISY = Item("noisy/{round:06d}", numbers("<f8"), "A round's sums with noise, before anybody hears of them.", AGGREGATOR, STAGE)
ITEMS = (NOISY,)
