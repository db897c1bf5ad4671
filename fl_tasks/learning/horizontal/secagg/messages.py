"""Secure aggregation's messages, in the order of Bonawitz et al. (CCS 2017), and the errors of its lists.

Every list that the aggregator sends closes a step. The clients on the list go on; a client that comes later stays out of this sum.
"""

from __future__ import annotations

from tombolo.storage.errors import CodedError
from tombolo.storage.meters import NUMBERS
from tombolo.storage.roles import AGGREGATOR, CLIENT, MOST_PARTIES
from tombolo.storage.schema import Disclosed, Message, MessageSet, Pad64, Public, Sealed

_LIST = Public("string", "which clients are in the sum, by name")
_SIGNATURE = Public("binary", "a signature over public lists and keys")

MESSAGES = MessageSet(
    "secure-aggregation",
    Message(
        "advertise",
        CLIENT,
        AGGREGATOR,
        {"keys": Public("binary", "fresh public keys, and a hash of a random seed"), "signature": _SIGNATURE},
        learns="that the client takes part in this sum",
        step="0a",
    ),
    Message(
        "roster",
        AGGREGATOR,
        CLIENT,
        {"client": _LIST, "keys": Public("binary", "fresh public keys, and a hash of a random seed"), "signature": _SIGNATURE},
        learns="which clients take part in this sum, and their keys",
        step="0b",
        limit="signed by each client itself",
        rows=MOST_PARTIES,
    ),
    Message(
        "shares",
        CLIENT,
        AGGREGATOR,
        {"box": Sealed()},
        learns="nothing: sealed to the client's neighbours",
        step="1a",
        rows=MOST_PARTIES,
    ),
    Message(
        "inbox",
        AGGREGATOR,
        CLIENT,
        {"client": _LIST, "box": Sealed()},
        learns="one share of each neighbour's two secrets",
        step="1b",
        limit="fewer shares than the threshold are independent of the secret",
        rows=MOST_PARTIES,
    ),
    Message(
        "masked",
        CLIENT,
        AGGREGATOR,
        {"value": Pad64(NUMBERS)},
        learns="uniformly random values; with the answers below, the sum over the survivors",
        step="2a",
        limit="masks cancel only in the sum over all survivors, of which there are at least three and the threshold",
        rows=None,
    ),
    Message(
        "survivors",
        AGGREGATOR,
        CLIENT,
        {"client": _LIST},
        learns="which clients' values are in the sum",
        step="2b",
        rows=MOST_PARTIES,
    ),
    Message(
        "consent",
        CLIENT,
        AGGREGATOR,
        {"signature": _SIGNATURE},
        learns="that the client was shown these survivors",
        step="3a",
        limit="a client signs one list per sum, kept before it signs",
    ),
    Message(
        "consents",
        AGGREGATOR,
        CLIENT,
        {"client": _LIST, "signature": _SIGNATURE},
        learns="that as many clients as the threshold were shown the same survivors",
        step="3b",
        rows=MOST_PARTIES,
    ),
    Message(
        "unmask",
        CLIENT,
        AGGREGATOR,
        {
            "client": _LIST,
            "share": Disclosed(
                "fixed", "removing masks from the sum", "of a survivor for its own mask, of others for the pair masks", NUMBERS
            ),
        },
        learns="shares that remove the masks from the sum over the survivors, and from nothing smaller",
        step="4",
        limit="never both secrets of one client; only after a threshold of signatures on one list of survivors",
        rows=MOST_PARTIES,
    ),
)


class BelowThreshold(CodedError):
    code = "TMB-SECAGG-003"
    cause = "Fewer clients are left in a secure sum, or in one neighbourhood of it, than the threshold; nothing was revealed."
    remedy = "Start a new run when more clients are back; task.horizontal.step_seconds says how long a step waits for them."


class ForeignList(CodedError):
    code = "TMB-SECAGG-004"
    cause = "A list of clients in a secure sum is wrong: it has unknown or repeated clients, or some who were not in before."
    remedy = "Install the same version at all parties and start a new run. If it fails again, ask the named party."


class TwoLists(CodedError):
    code = "TMB-SECAGG-005"
    cause = (
        "The clients of one secure sum were shown different lists of survivors. This could reveal the values of a single client."
    )
    remedy = (
        "No share was sent. Keep the artifacts as evidence, and do not work with this aggregator until it has explained the lists."
    )
