"""The private objects of measuring contributions."""

from __future__ import annotations

from tombolo.fl_tasks.runtime.state import LISTING, STAGE, Item, written
from tombolo.storage.roles import AGGREGATOR, ARBITER, CLIENT

COUNTED = Item("counted", LISTING, "The clients whose number of rows arrived in time.", AGGREGATOR, place=STAGE)
TWO_COUNTS = Item("two-counts/{party}", LISTING, "Two signed numbers of rows of one client, as proof.", CLIENT, place=STAGE)
VALUE = Item("value-{number:04d}", written(float, float), "The value of a coalition.", ARBITER, place=STAGE)
ITEMS = (COUNTED, TWO_COUNTS, VALUE)
