"""The private objects of a settlement: what this party has stated, and what it has compared with each peer."""

from __future__ import annotations

from dataclasses import asdict

from tombolo.fl_tasks.runtime.state import AGREEMENT, BYTES, DOCUMENT, LISTING, NUMBER, TEXT, Item, written
from tombolo.storage.ledger.pairs import Line
from tombolo.storage.ledger.signed import Signed
from tombolo.storage.roles import INITIATORS

ATTESTATION = Item(
    "settle/attestation", written(Signed.to_json, Signed.from_json), "This party's signed statement about the run.", ends="never"
)
EVIDENCE = Item("settle/evidence/{party}", LISTING, "Two statements that one party signed for one place, as proof.", ends="never")
SALT = Item("settle/salt/{party}", BYTES, "This party's part of the salt that a pair's books are hashed with.", ends="never")
PAIR = Item("settle/pair/{party}", DOCUMENT, "The result of comparing the books of this party and a peer.", ends="never")
BOOK = Item(
    "settle/book/{party}",
    written(lambda lines: [asdict(line) for line in lines], lambda lines: [Line(**line) for line in lines]),
    "This party's book with a peer, as it was sent to the peer.",
    ends="never",
)
HEIGHT = Item("height", NUMBER, "The height of the run's block.", INITIATORS)
HEIGHTS = Item("ledger/heights/{height:09d}", TEXT, "The run that has a height in the ledger.", INITIATORS, AGREEMENT, "never")
VOTES = Item("ledger/votes/{height:09d}/{vote}", DOCUMENT, "This party's vote on a block.", place=AGREEMENT, ends="never")
ITEMS = (ATTESTATION, EVIDENCE, SALT, PAIR, BOOK, HEIGHT, HEIGHTS, VOTES)
