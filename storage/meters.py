"""Meters: what kinds of facts about people leave a party, and in which unit each kind adds up over messages and runs.

Every column that a recipient may read about a sender's data names its meter. The odometer
(:mod:`tombolo.fl_tasks.privacy.odometer`) counts on the meters, and refuses what would pass a limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["bits", "numbers"]


@dataclass(frozen=True)
class Meter:
    """A kind of fact. ``adds_up`` says, for the leakage table, what a patient recipient could compute from many of them."""

    name: str
    unit: Unit
    about: str
    adds_up: str


SIZE = Meter("size", "bits", "how many rows or columns a party has", "how the sizes change from run to run")
PROGRESS = Meter(
    "progress",
    "bits",
    "numbers that steer a training: losses, steps, when to stop",
    "functions of all training rows together",
)
METRIC = Meter(
    "metric",
    "bits",
    "aggregates over the held-out rows, with four digits at most",
    "some of what the held-out labels are",
)
MODEL = Meter(
    "model", "bits", "parts of the model that the terms give to the recipient", "what the model tells about its training rows"
)
NUMBERS = Meter(
    "numbers",
    "numbers",
    "sums over rows whose weights the recipients may know",
    "equations about the rows",
)
ROWS = Meter(
    "rows",
    "bits",
    "values of single rows: scores, directions, memberships, answers",
    "what the recipient knows of one person",
)
METRIC_BITS = 13
"""Bits of a metric, which has four digits at most."""
METERS = {meter.name: meter for meter in (SIZE, PROGRESS, METRIC, MODEL, NUMBERS, ROWS)}
