"""The private objects of logistic-guest: what a party counts over all runs."""

from __future__ import annotations

from tombolo.fl_tasks.runtime.state import AGREEMENT, TEXT, Item
from tombolo.storage.roles import DATA

DIRECTIONS = Item(
    "history/directions/{run}/{round:06d}",
    TEXT,
    "A direction that the hosts showed the guest; it counts over all runs.",
    DATA,
    AGREEMENT,
    "never",
)
ITEMS = (DIRECTIONS,)
