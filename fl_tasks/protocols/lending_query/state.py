"""The private objects of a party of the lending query: of its runs, of its indexes, and of its books."""

from __future__ import annotations

from functools import partial
from typing import Any

from tombolo.fl_tasks.crypto.paillier import PrivateKey, PublicKey
from tombolo.fl_tasks.runtime.state import AGREEMENT, BYTES, DOCUMENT, LISTING, STAGE, TEXT, Codec, Item
from tombolo.storage.roles import ARBITER, GUEST, HOST

VERTICAL = (GUEST, HOST, ARBITER)

# -- of a run ---------------------------------------------------------------------------------------------------------------

HANDLE = Item("questions", TEXT, "The handle of the questions that this run asks.", GUEST)
COOLING = Item("cooling", LISTING, "Batches of questions that a new index takes over from the index before it.", ARBITER, STAGE)
QUESTIONS = Item(
    "questions/{handle}",
    DOCUMENT,
    "Sealed questions: ids, receipts, and what opens the commitments.",
    GUEST,
    AGREEMENT,
    named_by=HANDLE,
)
ANSWERS = Item("answers/{run}", DOCUMENT, "The answers of a run, with their questions.", GUEST, AGREEMENT)

# -- of an index, until a new series replaces it -----------------------------------------------------------------------------

_PUBLIC = Codec(PublicKey.to_bytes, partial(PublicKey.from_bytes, shortest=0))
_PRIVATE = Codec(PrivateKey.to_bytes, partial(PrivateKey.from_bytes, shortest=0))
EXPONENTS = Item(
    "history/lending/exponents/{series}", BYTES, "The secret exponent of this party.", (HOST, ARBITER), AGREEMENT, "protocol"
)
PAILLIER = Item("history/lending/paillier/{series}", _PRIVATE, "The key pair of the decryptor.", HOST, AGREEMENT, "protocol")
PUBLIC = Item("history/lending/public/{series}", _PUBLIC, "The public key of the decryptor.", VERTICAL, AGREEMENT, "protocol")
CUSTOMERS = Item(
    "history/lending/customers/{run}/part-{chunk:06d}",
    BYTES,
    "The point and the value that were deposited for each customer.",
    HOST,
    AGREEMENT,
    "protocol",
)
DEPOSITS = Item(
    "history/lending/deposits/{run}/{party}/{bits:02d}/{bucket:06x}",
    BYTES,
    "One bucket of tokens and ciphertexts of a lender.",
    ARBITER,
    AGREEMENT,
    "protocol",
)
PIECES = Item(
    "history/lending/zeros/{series}/piece/{number:08d}",
    BYTES,
    "Encryptions of zero, made in advance.",
    ARBITER,
    AGREEMENT,
    "protocol",
)
OWNERS = Item(
    "history/lending/zeros/{series}/owner/piece/{number:08d}",
    TEXT,
    "The run that used a piece of the supply.",
    ARBITER,
    AGREEMENT,
    "protocol",
)

# -- books ------------------------------------------------------------------------------------------------------------------

EPOCHS = Item("history/lending/epochs/{run}", DOCUMENT, "A finished index: series, base and time.", VERTICAL, AGREEMENT, "never")
ENTRIES = Item(
    "history/lending/asked/{series}/{epoch}/entries/{number:08d}",
    BYTES,
    "A batch of questions: its run, its time and 32 bytes for each question.",
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
"""The objects that open or match the indexes of a series."""
ITEMS = (HANDLE, COOLING, QUESTIONS, ANSWERS, *INDEXED, CUSTOMERS, DEPOSITS, EPOCHS, ENTRIES, REFUSED)
