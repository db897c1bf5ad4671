"""What a party keeps of sums over columns of several parties."""

from __future__ import annotations

from functools import partial

from tombolo.fl_tasks.crypto.paillier import PrivateKey
from tombolo.fl_tasks.runtime.state import ARRAYS, BYTES, STAGE, Codec, Item, numbers
from tombolo.storage.roles import ARBITER, DATA, GUEST, HOST

VERTICAL = (GUEST, HOST, ARBITER)

PAILLIER = Item(
    "paillier", Codec(PrivateKey.to_bytes, partial(PrivateKey.from_bytes, shortest=0)), "The holder's key pair.", VERTICAL, STAGE
)
FIRST_SUMS = Item("first-sums", numbers("<f8"), "The gradient of the first round.", DATA, STAGE)
MASKED_COLUMNS = Item("masked-columns", BYTES, "A hash of the masked columns, so that no others get the masks.", DATA, STAGE)
BEGINNING = Item("beginning", ARRAYS, "The weights and the order of rows that training starts from.", DATA, STAGE)
ITEMS = (BEGINNING, PAILLIER, FIRST_SUMS, MASKED_COLUMNS)
