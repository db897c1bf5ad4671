"""What a party keeps of how contributions are measured."""

from __future__ import annotations

from tombolo.fl_tasks.runtime.state import LISTING, STAGE, Item, written
from tombolo.storage.roles import AGGREGATOR, ARBITER, CLIENT

COUNTED = Item("counted", LISTING, "Whose number of rows came in time.", AGGREGATOR, place=STAGE)
TWO_COUNTS = Item("two-counts/{party}", LISTING, "Two signed numbers of rows of one client, as proof.", CLIENT, place=STAGE)
VALUE = Item("value-{number:04d}", written(float, float), "What a coalition's model is worth.", ARBITER, place=STAGE)
ITEMS = (COUNTED, TWO_COUNTS, VALUE)
