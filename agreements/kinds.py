"""The kinds of run, in one table: the stages of each kind, whether other parties take part, and what it publishes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of run.

    ``stages`` are in order. With ``alone`` one party runs it without its peers: no invitation, no manifest, no block.
    ``publishes`` is a stage and the name of an asset, which gets an event when that stage ends. With ``scheduled``, the
    agreement's schedule starts runs of this kind.
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
        "Score a client's own new rows with the model. Every client holds the whole model.",
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
