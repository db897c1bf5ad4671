"""What a party of the lending query keeps of its runs and of its indexes."""

from __future__ import annotations

from functools import partial
from typing import Any

from tombolo.fl_tasks.crypto.paillier import PrivateKey, PublicKey
from tombolo.fl_tasks.runtime.state import AGREEMENT, BYTES, DOCUMENT, LISTING, STAGE, TEXT, Codec, Item
from tombolo.storage.roles import ARBITER, GUEST, HOST

VERTICAL = (GUEST, HOST, ARBITER)

# -- of a run ---------------------------------------------------------------------------------------------------------------

HANDLE = Item("questions", TEXT, "The handle of the questions that a run asks.", GUEST)
COOLING = Item("cooling", LISTING, "Batches that a new index takes over from the one before.", ARBITER, STAGE)
QUESTIONS = Item("questions/{handle}", DOCUMENT, "Sealed questions: ids, receipts, openings.", GUEST, AGREEMENT, named_by=HANDLE)
ANSWERS = Item("answers/{run}", DOCUMENT, "Answers with their questions.", GUEST, AGREEMENT)

# -- of an index, until another takes its place -------------------------------------------------------------------------------

_PUBLIC = Codec(PublicKey.to_bytes, partial(PublicKey.from_bytes, shortest=0))
_PRIVATE = Codec(PrivateKey.to_bytes, partial(PrivateKey.from_bytes, shortest=0))
EXPONENTS = Item(
    "history/lending/exponents/{series}", BYTES, "This party's secret exponent.", (HOST, ARBITER), AGREEMENT, "protocol"
)
PAILLIER = Item("history/lending/paillier/{series}", _PRIVATE, "The decryptor's key pair.", HOST, AGREEMENT, "protocol")
PUBLIC = Item("history/lending/public/{series}", _PUBLIC, "The decryptor's public key.", VERTICAL, AGREEMENT, "protocol")
CUSTOMERS = Item(
    "history/lending/customers/{run}/part-{chunk:06d}", BYTES, "What was deposited for a customer.", HOST, AGREEMENT, "protocol"
)
DEPOSITS = Item(
    "history/lending/deposits/{run}/{party}/{bits:02d}/{bucket:06x}",
    BYTES,
    "Tokens and ciphertexts of a lender, a bucket each.",
    ARBITER,
    AGREEMENT,
    "protocol",
)
PIECES = Item("history/lending/zeros/{series}/piece/{number:08d}", BYTES, "Encryptions of zero.", ARBITER, AGREEMENT, "protocol")
OWNERS = Item(
    "history/lending/zeros/{series}/owner/piece/{number:08d}", TEXT, "Which run used a piece.", ARBITER, AGREEMENT, "protocol"
)

# -- books ------------------------------------------------------------------------------------------------------------------

EPOCHS = Item("history/lending/epochs/{run}", DOCUMENT, "A finished index: series, base and time.", VERTICAL, AGREEMENT, "never")
ENTRIES = Item(
    "history/lending/asked/{series}/{epoch}/entries/{number:08d}",
    BYTES,
    "A batch of questions: its run, time and a commitment for each.",
    (HOST, ARBITER),
    AGREEMENT,
    "protocol",
)
REFUSED = Item(
    "history/lending/asked/{series}/{epoch}/refused/{run}",
    TEXT,
    "Why a batch was refused.",
    (HOST, ARBITER),
    AGREEMENT,
    "protocol",
)
INDEXED: tuple[Item[Any], ...] = (EXPONENTS, PAILLIER, PUBLIC, PIECES, OWNERS)
"""What opens or matches the indexes of a series."""
ITEMS = (HANDLE, COOLING, QUESTIONS, ANSWERS, *INDEXED, CUSTOMERS, DEPOSITS, EPOCHS, ENTRIES, REFUSED)
