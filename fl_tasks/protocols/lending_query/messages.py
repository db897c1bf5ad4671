"""The messages of building an index and of asking it, and what each party learns from them."""

from __future__ import annotations

from tombolo.fl_tasks.runtime.programs import AnyPrograms, Programs
from tombolo.storage.roles import ARBITER, DATA, GUEST, HOST
from tombolo.storage.schema import (
    BlindedPoint,
    Commitment,
    Message,
    MessageSet,
    PaddedModN,
    Paillier,
    Public,
)

INDEX = MessageSet(
    "lending-index",
    Message(
        "decryption_key",
        HOST,
        (*DATA, ARBITER),
        {"key": Public("binary", "a public key")},
        learns="the decryptor's Paillier public key of this series of indexes",
        step="0",
    ),
    Message(
        "customer_points",
        HOST,
        HOST,
        {"point": BlindedPoint()},
        learns="the sender's number of customers (those new to the index), rounded up",
        step="1",
        limit="padded to a multiple of query.padding; points are under the owner's one-time exponent, in a random order",
    ),
    Message(
        "deposit",
        HOST,
        ARBITER,
        {"point": BlindedPoint(), "value": Paillier(HOST)},
        learns="a pseudonym per customer, the number of each lender's, and which pseudonyms several lenders share",
        step="2",
        limit="padded with entries that encrypt nothing; no id and no value: all lenders' exponents are in a point, and the "
        "decryptor alone could decrypt; where it brings another index up to date also which pseudonyms were deposited again, with "
        "unchanged ones among them",
    ),
    Message(
        "asked_before",
        (ARBITER, HOST),
        (HOST, ARBITER),
        {"point": BlindedPoint(), "series": Public("string", "the run that an earlier index was built in")},
        learns="(lenders) how many people of earlier epochs are cooling down; (the arbiter) their pseudonyms in the new index",
        step="3",
        limit="points are under the arbiter's one-time exponent; no more of them than questions that the lender admitted within "
        "query.cooldown_hours and a day; nothing of customers nobody asked about",
    ),
    Message(
        "index_ready",
        ARBITER,
        DATA,
        {"lenders": Public("int64", "how many lenders hold an index of this epoch")},
        learns="that the index may be asked",
        step="4",
    ),
)
"""Building an index: the guest only hears that it is there."""

QUERY = MessageSet(
    "lending-query",
    Message(
        "blinded_question",
        DATA,
        DATA,
        {"point": BlindedPoint(), "consent": Commitment()},
        learns="that the asker asks, how many questions, and a commitment to each consent receipt; not about whom",
        step="1",
        limit="every point is under the asker's one-time exponent; query.asker_quota questions per epoch, counted by every lender",
    ),
    Message(
        "ticket",
        HOST,
        ARBITER,
        {
            "questions": Public("int64", "how many questions the sender let pass"),
            "received": Public("binary", "a digest of blinded points"),
            "passed": Public("binary", "a digest of blinded points"),
            "consents": Public("binary", "a digest of commitments"),
        },
        learns="that this lender admits so many questions of the asker, once",
        step="2",
    ),
    Message(
        "question",
        GUEST,
        ARBITER,
        {"point": BlindedPoint(), "mask": Paillier(HOST), "consent": Commitment()},
        learns="a pseudonym per question, which lenders' indexes have it, and whether it was asked about before",
        step="3",
        limit="no id and no value; query.person_quota questions per person and epoch; what was asked is forgotten a day after "
        "query.cooldown_hours",
    ),
    Message(
        "masked_sum",
        ARBITER,
        HOST,
        {"sum": Paillier(HOST)},
        learns="(the decryptor alone) uniformly random values: each sum is under the asker's one-time pad modulo n",
        step="4",
        limit="re-randomised with full-size randomness, so that not even the number of addends shows",
    ),
    Message(
        "masked_answer",
        HOST,
        GUEST,
        {"sum": PaddedModN(HOST)},
        learns="over all lenders together, how many open loans the person has, and how much in all",
        step="5",
        limit="no lender's own part, unless only one knows the person; at least three lenders must hold an index; not again within "
        "query.cooldown_hours of an earlier epoch's question",
    ),
)
"""Asking an index: the messages of steps 4 and 5 travel to and from the decryptor only."""

PROGRAMS: AnyPrograms = Programs(QUERY)
"""Nothing is trained: the messages of a query stand here, and its stages are in :mod:`.building` and :mod:`.asking`."""
