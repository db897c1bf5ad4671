"""The messages of building an index and of asking it, with what each recipient learns."""

from __future__ import annotations

from tombolo.fl_tasks.runtime.programs import AnyPrograms, Programs
from tombolo.storage.meters import ROWS
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
        learns="how many customers of the sender are new to the index, rounded up",
        step="1",
        limit="padded to a multiple of query.padding; points are under a one-time exponent of their owner, in a random order",
        rows=None,
    ),
    Message(
        "deposit",
        HOST,
        ARBITER,
        {"point": BlindedPoint(), "value": Paillier(HOST)},
        learns="a pseudonym per customer, how many customers each lender has, and which pseudonyms several lenders share",
        step="2",
        limit="padded with entries that encrypt zero; no id and no value: a point needs the exponents of all lenders, and only the "
        "decryptor can decrypt a value; in an update also which pseudonyms were deposited again, some of them unchanged",
        rows=None,
    ),
    Message(
        "asked_before",
        (ARBITER, HOST),
        (HOST, ARBITER),
        {"point": BlindedPoint(), "series": Public("string", "the run that an earlier index was built in")},
        learns="(lenders) how many people of earlier epochs are in the cool-down; (the arbiter) their pseudonyms in the new index",
        step="3",
        limit="points are under a one-time exponent of the arbiter; not more points than questions that the lender admitted within "
        "query.cooldown_hours and a day; nothing about customers whom nobody asked about",
        rows=None,
    ),
    Message(
        "index_ready",
        ARBITER,
        DATA,
        {"lenders": Public("int64", "how many lenders hold an index of this epoch")},
        learns="that questions may be asked of the index",
        step="4",
    ),
)
"""Building an index: the guest only receives the public key, and the message that the index is ready."""

QUERY = MessageSet(
    "lending-query",
    Message(
        "blinded_question",
        DATA,
        DATA,
        {"point": BlindedPoint(), "consent": Commitment()},
        learns="that the asker asks, how many questions, and a commitment to each consent receipt; not whom they are about",
        step="1",
        limit="every point is under a one-time exponent of the asker; every lender allows query.asker_quota questions per epoch",
        rows=None,
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
        learns="how many questions of the asker this lender admits in this run",
        step="2",
    ),
    Message(
        "question",
        GUEST,
        ARBITER,
        {"point": BlindedPoint(), "mask": Paillier(HOST), "consent": Commitment()},
        learns="a pseudonym per question, which lenders have deposited it, and whether it was asked about before",
        step="3",
        limit="no id and no value; query.person_quota questions per person and epoch; the questions are deleted a day after "
        "query.cooldown_hours",
        rows=None,
    ),
    Message(
        "masked_sum",
        ARBITER,
        HOST,
        {"sum": Paillier(HOST)},
        learns="(only the decryptor) uniformly random values: each sum is under a one-time pad of the asker modulo n",
        step="4",
        limit="re-randomised with full-size randomness, which also hides the number of addends",
        rows=None,
    ),
    Message(
        "masked_answer",
        HOST,
        GUEST,
        {"sum": PaddedModN(HOST, ROWS)},
        learns="how many open loans the person has at all lenders together, and the total exposure",
        step="5",
        limit="no part of a single lender, unless only one lender knows the person; at least three lenders must have an index; not "
        "again within query.cooldown_hours of a question in an earlier epoch",
        rows=None,
    ),
)
"""Asking an index: only the decryptor receives step 4 and sends step 5."""

PROGRAMS: AnyPrograms = Programs(QUERY)
"""The messages of a query. Nothing is trained; the stages are in :mod:`.building` and :mod:`.asking`."""
