"""The kinds of run, in one table: which stages a run of a kind has, who takes part, and what it publishes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of run.

    ``stages`` are in order; ``alone`` says that it is one party's own: no invitation, no manifest, no block. ``asset`` is what gets
    an event when the stage of that name ends. ``scheduled``: the agreement's schedule starts runs of this kind.
    """

    name: str
    stages: tuple[str, ...]
    title: str
    alone: bool = False
    publishes: tuple[str, str] | None = None
    scheduled: bool = False


_TABLE = (
    Kind(
        "train",
        ("join", "validate", "align", "train", "evaluate", "publish", "settle"),
        "Train, evaluate, publish, settle.",
        publishes=("publish", "model"),
        scheduled=True,
    ),
    Kind(
        "predict",
        ("join", "validate", "align", "predict", "settle"),
        "Score new rows of all parties with a published version, and settle.",
        publishes=("predict", "scores"),
    ),
    Kind(
        "index",
        ("join", "validate", "index", "settle"),
        "Build an index of all lenders' customers, and settle.",
        publishes=("index", "index"),
        scheduled=True,
    ),
    Kind("query", ("join", "query", "settle"), "Ask the latest index about a batch of people, and settle."),
    Kind(
        "score",
        ("score",),
        "Score a client's own new rows with the whole model that it holds.",
        alone=True,
        publishes=("score", "scores"),
    ),
    Kind(
        "monitor",
        ("monitor",),
        "Compare a published model with labels that arrived later, and watch its scores for drift.",
        alone=True,
    ),
)
KINDS = {kind.name: kind for kind in _TABLE}
JOINT = tuple(kind.name for kind in _TABLE if not kind.alone)
"""Kinds that begin with an invitation."""
ALONE = tuple(kind.name for kind in _TABLE if kind.alone)
