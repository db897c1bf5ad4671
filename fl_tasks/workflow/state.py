"""What the stages keep of a run, and every object that any package or protocol declares."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from typing import Any

from tombolo.agreements.manifest import Invitation, LateJoin
from tombolo.agreements.protocol import GROUP, Protocol, protocol_named
from tombolo.fl_tasks.runtime.state import (
    AGREEMENT,
    ARRAYS,
    BYTES,
    CLIENTS,
    DOCUMENT,
    LISTING,
    NUMBER,
    STAGE,
    TEXT,
    Item,
    written,
)
from tombolo.storage.plugins import offered
from tombolo.storage.roles import AGGREGATOR, ARBITER, CLIENT, DATA, GUEST, HOLDERS, HOST, INITIATORS

VERTICAL = (GUEST, HOST, ARBITER)

# -- joining ----------------------------------------------------------------------------------------------------------------

INVITATION = Item(
    "invitation", written(Invitation.document, Invitation.from_document), "The invitation that this party answered.", ends="never"
)
OWN_SEEDS = Item("own-seeds/{party}", BYTES, "A seed that this party drew for a peer, or for all.", DATA, ends="settlement")
ANSWERS = Item(
    "answers", DOCUMENT, "The signed answers of those on the aggregator's list, and when it was closed.", CLIENTS, ends="never"
)
LATE_JOIN = Item("late-join", written(LateJoin.document, LateJoin.from_document), "This party's own late join.", CLIENT)
LATECOMERS = Item(
    "latecomers", LISTING, "The clients that were admitted late. The clients are told when training is over.", AGGREGATOR
)
CAUGHT_UP = Item("caught-up/{party}", BYTES, "A note that a late client was sent everything that it had missed.", AGGREGATOR)

# -- from the table to the model --------------------------------------------------------------------------------------------

WHOLE = Item("aligned/whole", NUMBER, "The number of aligned rows: all chunks are there.", HOLDERS)
ROWS = Item(
    "aligned/{rows}-{chunk:06d}",
    BYTES,
    "Aligned rows. row: ids and labels; own: the same for rows that no other party has. learnt and scored: encoded features of the "
    "rows to train on and to score. raw-learnt and raw-scored: a client's features, not encoded, until there is an encoder.",
    HOLDERS,
)
ENCODER = Item("aligned/encoder", DOCUMENT, "How this party's columns are encoded, fitted on training rows.", HOLDERS)
ROSTER = Item(
    "history/roster/{event:06d}",
    ARRAYS,
    "Keyed hashes of everybody who was in the rows of trainings so far: who is held out, and when they joined and left.",
    HOLDERS,
    AGREEMENT,
    "never",
)
USED = Item(
    "history/used/{event:06d}/{chunk:06d}",
    BYTES,
    "The values that trainings use of the people in the roster, until enough of them have changed.",
    HOLDERS,
    AGREEMENT,
    "protocol",
)
ABSENT = Item(
    "history/absent/{run}",
    ARRAYS,
    "Keyed hashes of people who are in the roster, but not in the table any more, and since when.",
    HOLDERS,
    AGREEMENT,
    "protocol",
)
MOVED = Item("moved", DOCUMENT, "How many people wait to join, left, came along, and wait to leave.", HOLDERS)
ROUNDS = Item(
    "history/rounds/{run}", NUMBER, "The rounds that a run may take, for the limit over all runs.", place=AGREEMENT, ends="never"
)
PRIVACY = Item("privacy", DOCUMENT, "The privacy cost of the run's rounds: epsilon and delta.")
EVALUATION = Item("evaluation", DOCUMENT, "Metrics of the run's model.", ends="never")
MEASURED = Item("measured", DOCUMENT, "The metrics with all digits. Nobody else gets them.", INITIATORS)
GATE = Item("gate", TEXT, "A note that the model may be published.", ends="never")

# -- predictions and rewards ------------------------------------------------------------------------------------------------

MADE = Item("predictions/{run}/made", DOCUMENT, "Which model version made a prediction, and when.", HOLDERS, AGREEMENT)
SCORES = Item("predictions/{run}/scores.parquet", BYTES, "The scores of a prediction with their ids.", HOLDERS, AGREEMENT)
MONITORING = Item(
    "monitoring/{version}/{run}", DOCUMENT, "The quality of a version on labels that arrived later.", HOLDERS, AGREEMENT, "never"
)
TOLD = Item("told", DOCUMENT, "The monitoring that the guest names for the live reward.", GUEST, STAGE)
LIVE = Item("live/{version}/{run}", DOCUMENT, "The run in which a monitoring was paid.", GUEST, AGREEMENT, "never")
CONTRIBUTIONS = Item("contributions", DOCUMENT, "What every party contributed and earns.")
RETRAINED = Item("retrained/{coalition:04d}", ARRAYS, "This party's weights in a coalition's model.", VERTICAL)
ERASED = Item("erased/{run}", DOCUMENT, "How many objects of a run retention deleted, and when.", place=AGREEMENT, ends="never")

ITEMS = (
    INVITATION,
    OWN_SEEDS,
    ANSWERS,
    LATE_JOIN,
    LATECOMERS,
    CAUGHT_UP,
    WHOLE,
    ROWS,
    ENCODER,
    ROSTER,
    USED,
    ABSENT,
    MOVED,
    ROUNDS,
    PRIVACY,
    EVALUATION,
    MEASURED,
    GATE,
    MADE,
    SCORES,
    MONITORING,
    TOLD,
    LIVE,
    CONTRIBUTIONS,
    RETRAINED,
    ERASED,
)
PACKAGES = (
    "tombolo.fl_tasks.runtime",
    "tombolo.fl_tasks.tables",
    "tombolo.fl_tasks.alignment",
    "tombolo.fl_tasks.learning.vertical",
    "tombolo.fl_tasks.learning.horizontal",
    "tombolo.fl_tasks.learning.trees",
    "tombolo.fl_tasks.models",
    "tombolo.fl_tasks.incentives",
    "tombolo.fl_tasks.ledger.settlement",
    "tombolo.fl_tasks.workflow",
)
"""Packages whose module ``state`` declares objects."""


def common_items() -> list[Item[Any]]:
    """The objects that runs under several protocols keep."""
    return [item for package in PACKAGES for item in import_module(f"{package}.state").ITEMS]


def items_of(protocol: Protocol) -> list[Item[Any]]:
    """The objects that a run under a protocol may keep: the common ones, and its own."""
    return [*common_items(), *(() if protocol.state is None else protocol.load(protocol.state))]


def every_item(plugins: Collection[str] = ()) -> list[Item[Any]]:
    """All declared objects, also those of ``plugins``."""
    protocols = [protocol_named(name, plugins).protocol for name in offered(GROUP, plugins)]
    return list(dict.fromkeys(item for protocol in protocols for item in items_of(protocol)))


def declared(items: Collection[Item[Any]], name: str) -> Item[Any] | None:
    """The declared object, or family of objects, of a name in the private area of an agreement; None if no item fits.

    The objects of a run are tried before those of its stages. So a name is read correctly whatever a party is called.
    """
    ordered = sorted(items, key=lambda item: item.place == STAGE)
    return next((item for item in ordered if item.pattern().fullmatch(name)), None)
