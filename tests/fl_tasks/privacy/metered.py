"""A federation whose parties send each other columns with meters, in sessions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from tests.federation import FOREVER, Federation, federation, quiet
from tombolo.fl_tasks.crypto.paillier import MIN_BITS
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.meters import METRIC, NUMBERS, PROGRESS, ROWS
from tombolo.storage.roles import DATA, EVERYONE
from tombolo.storage.schema import Disclosed, Message, MessageSet, Public

LOSS = Message("loss", DATA, EVERYONE, {"loss": Disclosed("float64", "why", "what", PROGRESS)}, "a loss", "1")
SCORES = Message(
    "scores",
    DATA,
    EVERYONE,
    {
        "auc": Disclosed("float64", "why", "what", METRIC),
        "stopped": Disclosed("bool", "why", "what", PROGRESS),
        "rows": Public("int64", "why"),
    },
    "metrics",
    "2",
    rows=10,
)
SUMS = Message("sums", DATA, EVERYONE, {"sum": Disclosed("float64", "why", "what", NUMBERS)}, "sums", "3")
ANSWERS = Message("answers", DATA, EVERYONE, {"is": Disclosed("bool", "why", "what", ROWS)}, "bits", "4", rows=None)
METERED = MessageSet("metered", LOSS, SCORES, SUMS, ANSWERS)


def joined(root: Path, **terms: Any) -> Federation:
    """A clinic, a lab and a notary that have joined run-1."""
    table = pa.table({"id": pa.array([f"p{number}" for number in range(30)]), "x": np.arange(30.0)})
    fed = federation(root, {"clinic": table, "lab": table}, key_bits=MIN_BITS, **terms)
    fed.start("run-1", rounds=7)
    return fed


def send(fed: Federation, work: Callable[[Session], Any], party: str = "clinic", run: str = "run-1", **options: Any) -> Any:
    """What a fresh process of a party does in the training stage."""
    with fed.context(party).session(run, METERED, "train", FOREVER, quiet, **options) as session:
        return work(session)


def used(fed: Federation, party: str = "clinic") -> dict[tuple[str, str], float]:
    """What was paid, by recipient and meter."""
    return {(one.recipient, one.meter): one.amount for one in fed.context(party).odometer.readings()}


def change_settings(fed: Federation, party: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Write a party's settings anew."""
    path = fed.settings(party)
    document = yaml.safe_load(path.read_text())
    change(document)
    path.write_text(yaml.safe_dump(document))
