"""The private objects of measuring contributions."""

from __future__ import annotations

from tombolo.fl_tasks.runtime.state import CLIENTS, LISTING, STAGE, TEXT, Item, written
from tombolo.storage.roles import AGGREGATOR, ARBITER, CLIENT

COUNTED = Item("counted", LISTING, "The clients' signed numbers of rows that arrived in time.", AGGREGATOR, place=STAGE)
TWO_COUNTS = Item("two-counts/{party}", LISTING, "Two signed numbers of rows of one client, as proof.", CLIENT, place=STAGE)
WRONG_COUNT = Item("wrong-count/{party}", TEXT, "The code of what is wrong with a client's number.", CLIENTS, place=STAGE)
VALUE = Item("value-{number:04d}", written(float, float), "The value of a coalition.", ARBITER, place=STAGE)
ITEMS = (COUNTED, TWO_COUNTS, WRONG_COUNT, VALUE)
