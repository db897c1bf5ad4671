"""Who was in which secure sum, as a party knows it: the aggregator from the lists that it closed, a client from those it was shown.

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
"""Stages that take sums; round 0 of training is that of the statistics."""


@dataclass(frozen=True)
class Cohort:
    """Sums that follow each other over the same clients: ``survivors`` in the agreement's order, None where this party was not in
    them; rounds ``first`` to ``last`` of a stage."""

    stage: str
    first: int
    last: int
    survivors: tuple[str, ...] | None

    @property
    def title(self) -> str:
        """For people."""
        if self.stage != "train":
            return "evaluation"
        rounds = f"round {self.first}" if self.first == self.last else f"rounds {self.first} to {self.last}"
        return rounds if self.first else "statistics"


def cohorts(private: PrivateArea, run: str) -> list[Cohort]:
    """A run's sums, in their order, as far as a party's private area of the agreement tells."""
    return joined(one for stage in STAGES for one in _sums(RunState(private, run, stage), stage))


def joined(sums: Iterable[Cohort]) -> list[Cohort]:
    """Neighbours over the same clients as one; statistics, rounds and evaluation stay apart."""
    found: list[Cohort] = []
    for one in sums:
        last = found[-1] if found else None
        same = last is not None and (last.stage, last.survivors, last.first > 0) == (one.stage, one.survivors, one.first > 0)
        if last is not None and same:
            found[-1] = replace(last, last=one.last)
        else:
            found.append(one)
    return found


def _sums(state: RunState, stage: str) -> list[Cohort]:
    """Single sums by round and part."""
    known: dict[tuple[int, int], tuple[str, ...] | None] = {}
    for one in state.all(CLOSED):
        round, part, step = one.key
        if step == "masked":
            there: list[str] = state[one]
            known[int(round), int(part)] = tuple(there)
    for signed in state.all(SURVIVORS):
        known[int(signed.key[0]), int(signed.key[1])] = tuple(parse(state[signed])["survivors"])
    rounds = {number for number, _ in known}
    finished = [int(one.key[0]) for one in state.all(CHECKPOINTS)]
    known |= {(round, 0): None for round in finished if round not in rounds}
    return [Cohort(stage, round, round, known[round, part]) for round, part in sorted(known)]
