"""The roster: who was in the training rows and in the held-out rows of all runs, and how few people the differences can isolate.

What leaves a run is a sum over a set of people. A reader who has the sums of many runs can add and subtract them: the difference of
two sets, a difference of differences, and so on. This module counts what such a combination can isolate.

**Events.** The sets of the runs form a sequence. An event is a run in which the set changes: people join it, people leave it
for good, or values of people change. With integers or other weights ``c_r`` on the runs, a person who joined at event ``k`` and
left at event ``m`` gets the weight ``e_k - e_m``, where ``e_k`` is the sum of ``c_r`` over all runs from event ``k`` on. A
person who is still in gets ``e_k``. So a combination is a choice of one number ``e`` per event. Draw every event as a node, add
a node "today" with the number 0, and draw every person as an edge from where it joined to where it left (or to today). The
people that a combination does not cancel are the edges whose two ends have different numbers. The fewest people that any
combination isolates are therefore the smallest cut of this graph. :meth:`Roster.weakest` computes it. A person whose value
changed is an edge with more than two ends: the events of the changes are ends too. It is cut if not all of its ends have the
same number.

A set whose smallest cut has ``G`` people never tells anything about fewer than ``G`` people together, whatever the weights are.
Source: trackers, Denning, Denning and Schwartz 1979; smallest cuts by maximum flows, Ford and Fulkerson 1956.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tombolo.storage.errors import CodedError

Persons = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
IN = -1
"""``left`` of people who are still in."""
_MOST = 2**30
"""More people than that count as that many, so that sums of flows fit into 32 bits."""


class NotOneSet(CodedError):
    code = "TMB-PRIV-010"
    cause = "The rows of this run differ from those of earlier runs in too few people; comparing the models would tell about them."
    remedy = (
        "Wait until more people have joined or more values have changed, and start a new run then; or train on exactly the same "
        "rows as before. The detail says how many people are missing."
    )


@dataclass(frozen=True)
class Changes:
    """Changes of values that were taken over: whose (``persons``), in which column (a number), and at which event."""

    persons: Persons
    columns: npt.NDArray[np.int32]
    events: npt.NDArray[np.int32]

    @classmethod
    def none(cls) -> Changes:
        """No change."""
        return cls(np.zeros(0, np.uint64), np.zeros(0, np.int32), np.zeros(0, np.int32))

    def and_at(self, event: int, changed: Mapping[int, Persons]) -> Changes:
        """These changes and those of one more event, by column."""
        return Changes(
            np.concatenate([self.persons, *changed.values()]),
            np.concatenate([self.columns, *(np.full(len(who), column, np.int32) for column, who in changed.items())]),
            np.concatenate([self.events, *(np.full(len(who), event, np.int32) for who in changed.values())]),
        )


@dataclass(frozen=True)
class Roster:
    """Everybody who ever was in a set, as keyed hashes in ascending order, shape (n,).

    ``test`` says who is held out: for good. ``joined`` and ``left`` are numbers of events; ``left`` is :data:`IN` for people
    who are in. ``events`` is the number of events so far. ``columns`` names the columns of ``changes``.
    """

    persons: Persons
    test: Mask
    joined: npt.NDArray[np.int32]
    left: npt.NDArray[np.int32]
    changes: Changes
    columns: tuple[str, ...]
    events: int

    @classmethod
    def empty(cls) -> Roster:
        """A roster before the first run."""
        return cls(np.zeros(0, np.uint64), np.zeros(0, bool), np.zeros(0, np.int32), np.zeros(0, np.int32), Changes.none(), (), 0)

    @cached_property
    def inside(self) -> Mask:
        """Who is in, shape (n,)."""
        return np.asarray(self.left == IN)

    def find(self, persons: Persons) -> npt.NDArray[np.int64]:
        """The place of each person in the roster, -1 for strangers; shape of ``persons``."""
        if not len(self.persons):
            return np.full(len(persons), -1, np.int64)
        at = np.minimum(np.searchsorted(self.persons, persons), len(self.persons) - 1)
        return np.where(self.persons[at] == persons, at, -1)

    def step(self, new: Persons, new_test: Mask, leaving: Persons, changed: Mapping[str, Persons]) -> Roster:
        """The roster after one more event. ``new`` are strangers, ``leaving`` and ``changed`` are people who are in."""
        left = self.left.copy()
        left[self.find(leaving)] = self.events
        persons = np.concatenate([self.persons, new])
        order = np.argsort(persons, kind="stable")
        moved = replace(
            self,
            persons=persons[order],
            test=np.concatenate([self.test, new_test])[order],
            joined=np.concatenate([self.joined, np.full(len(new), self.events, np.int32)])[order],
            left=np.concatenate([left, np.full(len(new), IN, np.int32)])[order],
            events=self.events + 1,
        )
        return moved.changing(changed)

    def changing(self, changed: Mapping[str, Persons]) -> Roster:
        """The roster with values that also changed at the last event: by column, whose."""
        columns = (*self.columns, *(name for name in changed if name not in self.columns))
        numbered = {columns.index(name): who for name, who in changed.items() if len(who)}
        return replace(self, columns=columns, changes=self.changes.and_at(self.events - 1, numbered))

    # -- what combinations of sets isolate ----------------------------------------------------------------------------------

    def weakest(self, test: bool) -> int | None:
        """The fewest people that a combination of all sets of one side isolates, over all columns; None if no set differs.

        The side is the held-out people with ``test``, else the people of training.
        """
        cuts = [self._weakest(test, None), *(self._weakest(test, column) for column in np.unique(self.changes.columns))]
        return min((cut for cut in cuts if cut is not None), default=None)

    def first(self, test: bool) -> int:
        """How many people of one side were in the first set."""
        side = self.test == test
        return int((side & (self.joined == self.joined[side].min())).sum()) if side.any() else 0

    def _weakest(self, test: bool, column: int | None) -> int | None:
        edges = self._edges(test, column)
        return _smallest_cut(edges, self.events + 1) if any(len(ends) > 1 for ends in edges) else None

    def _edges(self, test: bool, column: int | None) -> dict[frozenset[int], int]:
        """How many people of a side have which ends. The end of those who are in is today, the node ``events``."""
        side = np.flatnonzero(self.test == test)
        place = np.full(len(self.persons), -1, np.int64)
        place[side] = np.arange(len(side))
        pairs = np.stack([self.joined[side], np.where(self.left[side] == IN, self.events, self.left[side])])
        ends, kind = np.unique(pairs, axis=1, return_inverse=True)
        kinds = [frozenset(map(int, pair)) for pair in ends.T]
        chosen = self.changes.columns == column if column is not None else np.zeros(len(self.changes.columns), bool)
        at, events = place[self.find(self.changes.persons[chosen])], self.changes.events[chosen]
        for event in np.unique(events[at >= 0]).tolist():
            who = np.unique(at[(at >= 0) & (events == event)])
            before, again = np.unique(kind[who], return_inverse=True)
            kind[who] = len(kinds) + again
            kinds += [kinds[number] | {event} for number in before]
        counts = np.bincount(kind, minlength=len(kinds))
        edges: dict[frozenset[int], int] = {}
        for ends_of, count in zip(kinds, counts.tolist(), strict=True):
            if count:
                edges[ends_of] = edges.get(ends_of, 0) + count
        joined = {min(ends_of) for ends_of in edges}
        if len(joined) == 1 and all(ends_of == {next(iter(joined)), self.events} for ends_of in edges):
            return {}  # one set, which all runs have
        return edges


def _smallest_cut(edges: Mapping[frozenset[int], int], nodes: int) -> int:
    """The smallest cut that separates some nodes of a connected part of a graph from the others, by maximum flows.

    An edge with more than two ends becomes two helping nodes: the flow that enters by any end passes from one to the other once.
    """
    from scipy.sparse import csr_matrix  # imports take time, and most runs change no set
    from scipy.sparse.csgraph import connected_components, maximum_flow

    pipes: list[tuple[int, int, int]] = []
    free = nodes
    for ends, people in edges.items():
        count = min(people, _MOST // max(1, len(edges)))
        if len(ends) == 2:
            first, second = ends
            pipes += [(first, second, count), (second, first, count)]
        elif len(ends) > 2:
            pipes.append((free, free + 1, count))
            for end in ends:
                pipes += [(end, free, count), (free + 1, end, count)]
            free += 2
    starts, stops, counts = (np.array(values, np.int32) for values in zip(*pipes, strict=True))
    graph: Any = csr_matrix((counts, (starts, stops)), shape=(free, free))
    _, part = connected_components(graph, directed=False)
    smallest = _MOST
    for number in np.unique(part[:nodes]):
        members = np.flatnonzero(part[:nodes] == number)
        root = int(members[-1])  # today, if it is in this part
        for node in members[:-1]:
            smallest = min(smallest, int(maximum_flow(graph, int(node), root).flow_value))
    return smallest
