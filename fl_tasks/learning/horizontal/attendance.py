"""Which clients were in which secure sum. The aggregator knows it from the lists that it closed, a client from those it was shown.

A client that was left out of a sum is not told who was in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tombolo.fl_tasks.learning.horizontal.state import CLOSED, SURVIVORS
from tombolo.fl_tasks.runtime.state import CHECKPOINTS, RunState
from tombolo.storage.canonical import parse
from tombolo.storage.private import PrivateArea

STAGES = ("train", "evaluate")
"""The stages that compute sums. Round 0 of training computes the statistics."""


@dataclass(frozen=True)
class Cohort:
    """Sums that follow each other over the same clients: ``survivors`` in the agreement's order, None if this party was not in
    them; rounds ``first`` to ``last`` of a stage."""

    stage: str
    first: int
    last: int
    survivors: tuple[str, ...] | None

    @property
    def title(self) -> str:
        """The rounds in words."""
        if self.stage != "train":
            return "evaluation"
        rounds = f"round {self.first}" if self.first == self.last else f"rounds {self.first} to {self.last}"
        return rounds if self.first else "statistics"


def cohorts(private: PrivateArea, run: str) -> list[Cohort]:
    """The sums of a run, in order, as far as the party's private area of the agreement shows them."""
    return joined(cohort for stage in STAGES for cohort in _sums(RunState(private, run, stage), stage))


def joined(sums: Iterable[Cohort]) -> list[Cohort]:
    """Join sums that follow each other over the same clients. Statistics, rounds and evaluation are not joined to each other."""
    merged: list[Cohort] = []
    for cohort in sums:
        last = merged[-1] if merged else None
        kind = (cohort.stage, cohort.survivors, cohort.first > 0)
        if last is not None and (last.stage, last.survivors, last.first > 0) == kind:
            merged[-1] = replace(last, last=cohort.last)
        else:
            merged.append(cohort)
    return merged


def _sums(state: RunState, stage: str) -> list[Cohort]:
    """Single sums by round and part."""
    known: dict[tuple[int, int], tuple[str, ...] | None] = {}
    for closed in state.all(CLOSED):
        round, part, step = closed.key
        if step == "masked":
            there: list[str] = state[closed]
            known[int(round), int(part)] = tuple(there)
    for signed in state.all(SURVIVORS):
        known[int(signed.key[0]), int(signed.key[1])] = tuple(parse(state[signed])["survivors"])
    rounds = {number for number, _ in known}
    finished = [int(checkpoint.key[0]) for checkpoint in state.all(CHECKPOINTS)]
    known |= {(round, 0): None for round in finished if round not in rounds}
    return [Cohort(stage, round, round, known[round, part]) for round, part in sorted(known)]
