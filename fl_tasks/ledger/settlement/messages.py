"""The messages of a settlement. They carry hashes, sizes, signatures and what all parties know already; nothing of the data."""

from __future__ import annotations

from tombolo.storage.roles import AGGREGATOR, CLIENT, EVERYONE, GUEST, INITIATORS, INVITED
from tombolo.storage.schema import Disclosed, Message, MessageSet, Public

_BOOKED = "about artifacts that the two exchanged, which both have booked"
_SIGNED = "signed statements about the run that every party checks"

SETTLEMENT = MessageSet(
    "settlement",
    Message(
        "pair_salt",
        EVERYONE,
        EVERYONE,
        {"salt": Public("binary", "a random value that salts the pair's leaves; independent of all data")},
        learns="half of the salt of the two parties' leaves",
        step="0",
    ),
    Message(
        "pair_book",
        EVERYONE,
        EVERYONE,
        {
            "sender": Public("string", _BOOKED),
            "address": Public("string", _BOOKED),
            "message": Public("string", _BOOKED),
            "sha256": Public("string", _BOOKED),
            "size": Public("int64", _BOOKED),
            "rows": Public("int64", _BOOKED),
            "kinds": Public("string", _BOOKED),
        },
        learns="what the sender booked of the traffic between the two",
        step="1",
        limit="nothing about traffic with third parties",
    ),
    Message(
        "height",
        INITIATORS,
        INVITED,
        {
            "height": Public("int64", "the block's place in the ledger"),
            "previous_run": Public("string", "the run that the block before it closed"),
        },
        learns="which block this one follows",
        step="2",
    ),
    Message(
        "attestation",
        EVERYONE,
        EVERYONE,
        {"document": Public("binary", _SIGNED), "signature": Public("binary", _SIGNED)},
        learns="per pair of the sender: how many artifacts and bytes, and a salted root; metrics, contributions and rewards again",
        step="3",
        limit="third parties see no address, no hash and no message of a pair's traffic",
    ),
    *(
        Message(
            phase,
            EVERYONE,
            EVERYONE,
            {
                "kind": Public("string", "vote, attestation or block"),
                "party": Public("string", "whose statement it is"),
                "document": Public("binary", _SIGNED),
                "signature": Public("binary", _SIGNED),
            },
            learns="the sender's vote, and what it has heard from the others",
            step=step,
        )
        for phase, step in (("prevote", "4"), ("precommit", "5"))
    ),
    Message(
        "final_block",
        EVERYONE,
        EVERYONE,
        {"document": Public("binary", _SIGNED)},
        learns="the final block with all its votes",
        step="6",
    ),
    Message(
        "absentees_block",
        (CLIENT, AGGREGATOR),
        CLIENT,
        {
            "document": Public("binary", _SIGNED),
            "previous_run": Public("string", "the run that the block before it closed"),
        },
        learns="the final block, with metrics, contributions and rewards, of a run that went on without it",
        step="7",
        limit="members of the agreement, whose ledger it is",
    ),
)
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
