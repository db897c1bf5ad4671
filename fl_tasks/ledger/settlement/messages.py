"""The messages of a settlement. They have hashes, sizes, signatures and facts that all parties already know, but no data."""

from __future__ import annotations

from tombolo.storage.ledger.block import longest_block
from tombolo.storage.ledger.signed import LONGEST_STATEMENT
from tombolo.storage.roles import AGGREGATOR, CLIENT, EVERYONE, INITIATORS, INVITED, MOST_PARTIES
from tombolo.storage.schema import Message, MessageSet, Public
from tombolo.storage.stores.base import MAX_KEY_BYTES, MAX_SEGMENT_BYTES

_LONGEST_BLOCK = longest_block(MOST_PARTIES)
_BOOKED = "describes an artifact between the two parties, which both have booked"
_SIGNED = "signed statements about the run that every party checks"

SETTLEMENT = MessageSet(
    "settlement",
    Message(
        "pair_salt",
        EVERYONE,
        EVERYONE,
        {"salt": Public("binary", "a random value for the salt of the pair's leaves; independent of all data")},
        learns="the sender's half of the salt of the pair's leaves",
        step="0",
    ),
    Message(
        "pair_book",
        EVERYONE,
        EVERYONE,
        {
            "sender": Public("string", _BOOKED, longest=MAX_SEGMENT_BYTES),
            "address": Public("string", _BOOKED, longest=MAX_KEY_BYTES),
            "message": Public("string", _BOOKED, longest=MAX_SEGMENT_BYTES),
            "sha256": Public("string", _BOOKED, longest=64),
            "size": Public("int64", _BOOKED),
            "rows": Public("int64", _BOOKED),
            "kinds": Public("string", _BOOKED),
        },
        learns="what the sender has booked of the artifacts between the two parties",
        step="1",
        limit="nothing about artifacts of other parties",
        rows=None,
    ),
    Message(
        "height",
        INITIATORS,
        INVITED,
        {
            "height": Public("int64", "the block's place in the ledger"),
            "previous_run": Public("string", "the run that the block before it closes"),
        },
        learns="the height of the block, and which run the block before it closes",
        step="2",
    ),
    Message(
        "attestation",
        EVERYONE,
        EVERYONE,
        {"document": Public("binary", _SIGNED, longest=LONGEST_STATEMENT), "signature": Public("binary", _SIGNED)},
        learns="for each pair of the sender, the number of artifacts and bytes and a salted root; the metrics, contributions and "
        "rewards, which all parties know already",
        step="3",
        limit="parties outside a pair see no address, hash or message of the pair's artifacts",
    ),
    *(
        Message(
            phase,
            EVERYONE,
            EVERYONE,
            {
                "kind": Public("string", "vote or attestation"),
                "party": Public("string", "the party that made the statement"),
                "document": Public("binary", _SIGNED, longest=LONGEST_STATEMENT),
                "signature": Public("binary", _SIGNED),
            },
            learns="the sender's vote, and the signed statements that the sender has received from others",
            step=step,
            rows=None,
        )
        for phase, step in (("prevote", "4"), ("precommit", "5"))
    ),
    Message(
        "voted_block",
        EVERYONE,
        EVERYONE,
        {"document": Public("binary", _SIGNED, longest=_LONGEST_BLOCK)},
        learns="the block that the sender prevotes for, which follows from the attestations",
        step="4",
    ),
    Message(
        "final_block",
        EVERYONE,
        EVERYONE,
        {"document": Public("binary", _SIGNED, longest=_LONGEST_BLOCK)},
        learns="the final block with all its votes",
        step="6",
    ),
    Message(
        "absentees_block",
        (CLIENT, AGGREGATOR),
        CLIENT,
        {
            "document": Public("binary", _SIGNED, longest=_LONGEST_BLOCK),
            "previous_run": Public("string", "the run that the block before it closes"),
        },
        learns="the final block, with metrics, contributions and rewards, of a run that went on without the recipient",
        step="7",
        limit="sent only to members of the agreement, who share the ledger",
    ),
)
