"""The message by which a prediction run is paid for how well the published model does in use."""

from __future__ import annotations

from tombolo.storage.roles import EVERYONE, GUEST
from tombolo.storage.schema import Disclosed, Message, MessageSet, Public

LIVE = MessageSet(
    "live",
    Message(
        "live_quality",
        GUEST,
        EVERYONE,
        {
            "booking": Public("string", "the monitoring run that booked it; empty where there is nothing new"),
            "rows": Disclosed("int64", "how many labelled rows the aggregate covers", "one count per prediction run"),
            "value": Disclosed(
                "float64", "quality of the joint model on labels that arrived later", "one value per prediction run"
            ),
        },
        learns="how well the published model does in use",
        step="0",
        limit="an aggregate over at least incentives.live.minimum_rows rows; sent only where the terms pay for it",
    ),
)
