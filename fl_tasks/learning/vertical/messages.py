"""Messages that several vertical protocols have in common."""

from __future__ import annotations

from tombolo.storage.meters import PROGRESS, ROWS
from tombolo.storage.roles import ARBITER, DATA, GUEST
from tombolo.storage.schema import Disclosed, Message, Public

TRAINING_ROWS = Message(
    "training_rows",
    GUEST,
    ARBITER,
    {"rows": Public("int64", "sums are divided by it; all parties know it from the alignment")},
    learns="the number of training rows",
    step="0",
)
CONVERGED = Message(
    "converged",
    DATA,
    ARBITER,
    {"yes": Disclosed("bool", "when to stop", "one bit per round", PROGRESS)},
    learns="whether the sender's gradient is small",
    step="6",
    limit="one bit per party and round",
)
LOSS = Message(
    "loss",
    ARBITER,
    GUEST,
    {"loss": Disclosed("float64", "progress of training", "one aggregate per round", PROGRESS)},
    learns="the regularised training loss",
    step="7",
    limit="one aggregate per round",
)
TOTAL = Message(
    "total",
    GUEST,
    DATA,
    {"score": Disclosed("float64", "the score", "rows that the agreement lets this recipient score", ROWS)},
    learns="the total score per row (and class)",
    step="total",
    limit="parties that receive scores by the agreement",
    rows=None,
)
