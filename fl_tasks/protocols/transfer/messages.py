"""The messages of federated transfer learning. Each party has a key pair, and computes on ciphertexts of the other party."""

from __future__ import annotations

from tombolo.storage.meters import NUMBERS, PROGRESS
from tombolo.storage.roles import DATA, GUEST, HOST
from tombolo.storage.schema import Disclosed, Message, MessageSet, PaddedModN, Paillier, Public

_ROWS = "limits.minimum_numbers_per_weight; all rows in every round"

PUBLIC_KEY = Message(
    "public_key",
    DATA,
    DATA,
    {"key": Public("binary", "a public key")},
    learns="the run's Paillier public key",
    step="0",
)
MESSAGES = MessageSet(
    "transfer",
    PUBLIC_KEY,
    Message(
        "source_terms",
        GUEST,
        HOST,
        {"c": Paillier(GUEST)},
        learns="nothing: ciphertexts under the guest's key",
        step="1",
        rows=None,
    ),
    Message(
        "target_terms",
        HOST,
        GUEST,
        {"c": Paillier(HOST)},
        learns="nothing: ciphertexts under the host's key",
        step="2",
        rows=None,
    ),
    Message(
        "target_gradient",
        HOST,
        GUEST,
        {"c": Paillier(GUEST)},
        learns="uniformly random values: each sum is under a one-time pad modulo n",
        step="3",
        limit="pads are never used twice",
        rows=None,
    ),
    Message(
        "target_gradient_back",
        GUEST,
        HOST,
        {"residue": PaddedModN(GUEST, NUMBERS)},
        learns="the gradient of the recipient's own net, one number per weight",
        step="3",
        limit=_ROWS,
        rows=None,
    ),
    Message(
        "source_gradient",
        GUEST,
        HOST,
        {"c": Paillier(HOST)},
        learns="uniformly random values: each sum is under a one-time pad modulo n",
        step="4",
        limit="pads are never used twice",
        rows=None,
    ),
    Message(
        "source_gradient_back",
        HOST,
        GUEST,
        {"residue": PaddedModN(HOST, NUMBERS)},
        learns="the gradient of the recipient's own net, one number per weight, and the loss of the round",
        step="4",
        limit=_ROWS,
        rows=None,
    ),
    Message(
        "stop",
        GUEST,
        HOST,
        {"yes": Disclosed("bool", "when to stop", "one bit per round", PROGRESS)},
        learns="whether training stops because the loss hardly changes",
        step="5",
        limit="one bit per round",
    ),
)
