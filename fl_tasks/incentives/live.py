"""The message with the quality of the published model in use. Rewards of a prediction run are computed from it."""

from __future__ import annotations

from tombolo.storage.meters import METRIC, SIZE
from tombolo.storage.roles import EVERYONE, GUEST
from tombolo.storage.schema import Disclosed, Message, MessageSet, Public

LIVE = MessageSet(
    "live",
    Message(
        "live_quality",
        GUEST,
        EVERYONE,
        {
            "booking": Public("string", "the monitoring run that booked the value; empty if there is no new value"),
            "rows": Disclosed("int64", "how many labelled rows the aggregate covers", "one count per prediction run", SIZE),
            "value": Disclosed(
                "float64", "quality of the joint model on labels that arrived later", "one value per prediction run", METRIC
            ),
        },
        learns="the quality of the published model in use",
        step="0",
        limit="an aggregate over at least incentives.live.minimum_rows rows; sent only if the terms pay for it",
    ),
)
