"""What clients and the aggregator keep of sums over the clients' rows."""

from __future__ import annotations

from tombolo.fl_tasks.learning.horizontal.columns import Statistics
from tombolo.fl_tasks.runtime.state import BYTES, CLIENTS, DOCUMENT, LISTING, STAGE, Item, written
from tombolo.storage.roles import AGGREGATOR, CLIENT

STATISTICS = Item(
    "statistics", written(Statistics.document, Statistics.of), "Counts, means and deviations over all rows.", CLIENTS, STAGE
)
QUARTILES = Item("quartiles", DOCUMENT, "Quartiles of the columns over all rows.", CLIENTS, STAGE)
HISTOGRAMS = Item("histograms", LISTING, "Counts by bin of the columns over all rows.", AGGREGATOR, STAGE)
CLOSED = Item("closed/{round:06d}.{part}/{step}", LISTING, "The clients that were in time for a step of a sum.", AGGREGATOR, STAGE)
SURVIVORS = Item("survivors/{round:06d}.{part}", BYTES, "The signed list of the clients in a sum.", CLIENT, STAGE)
PRESENT = Item("present", LISTING, "The clients in the last sum of training.", AGGREGATOR)
ITEMS = (STATISTICS, QUARTILES, HISTOGRAMS, CLOSED, SURVIVORS, PRESENT)
