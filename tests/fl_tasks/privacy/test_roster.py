"""The roster: no combination of sets and versions isolates few people, and a daily user never stops."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tombolo.fl_tasks.privacy.company import admitted, enough, leaving, require, taken_over
from tombolo.fl_tasks.privacy.roster import NotOneSet, Persons, Roster

NOBODY = np.zeros(0, np.uint64)
COLUMNS = ("a", "b")


def both(least: int) -> dict[bool, int]:
    return {False: least, True: least}


class World:
    """A table that changes from run to run, and everything that a reader of all runs' sums over one column knows."""

    def __init__(self, seed: int, people: int, least: int) -> None:
        self.random, self.least = np.random.default_rng(seed), both(least)
        self.next, self.roster = people, Roster.empty()
        self.people: Persons = np.arange(people, dtype=np.uint64)
        self.values = {column: {int(who): 0 for who in self.people} for column in COLUMNS}
        self.used: dict[str, dict[int, int]] = {column: {} for column in COLUMNS}
        self.sets: list[tuple[dict[int, tuple[int, ...]], bool]] = []
        self.waiting: Persons = NOBODY

    def run(self, new: int, gone: int, changed: int, share: float = 0.3) -> None:
        arrived = np.arange(self.next, self.next + new, dtype=np.uint64)
        self.next += new
        here = np.setdiff1d(
            np.concatenate([self.people, arrived]), self.random.choice(self.people, min(gone, len(self.people) // 3))
        )
        self.people = here
        for who in arrived:
            for column in COLUMNS:
                self.values[column][int(who)] = 0
        for column in COLUMNS:
            for who in self.random.choice(here, min(changed, len(here)), replace=False):
                self.values[column][int(who)] += 1
        before = self.roster
        known = before.find(here) >= 0
        strangers = here[~known]
        test = (strangers * np.uint64(2654435761) >> np.uint64(3)) % np.uint64(10) < np.uint64(10 * share)
        absent = np.setdiff1d(before.persons[before.inside], here)
        out = np.concatenate(
            [leaving(before, absent, int((test == side).sum()), side, self.least, self.least[side]) for side in (False, True)]
        )
        joins = admitted(before, strangers, test, out, self.least)
        roster = before
        if joins.any() or len(out):
            roster = before.step(strangers[joins], test[joins], out, {})
        now_known = np.intersect1d(here, roster.persons[roster.inside])
        differing = {
            column: np.array(
                [who for who in now_known if self.used[column].get(int(who), 0) != self.values[column][int(who)]], np.uint64
            )
            for column in COLUMNS
        }
        if before.events:
            roster = taken_over(roster, before, {name: np.setdiff1d(who, strangers) for name, who in differing.items()}, self.least)
        try:
            require(roster, self.least)
        except NotOneSet:
            return  # refused before anything is computed: nothing is released, and nothing is remembered
        if roster.events > before.events or not before.events:
            taken = {
                (roster.columns[column], int(who))
                for who, column, event in zip(roster.changes.persons, roster.changes.columns, roster.changes.events, strict=True)
                if event == roster.events - 1
            }
            for column in COLUMNS:
                for who in now_known:
                    if (column, int(who)) in taken or int(who) not in self.used[column]:
                        self.used[column][int(who)] = self.values[column][int(who)]
        self.roster = roster
        for side in (False, True):
            inside = roster.persons[roster.inside & (roster.test == side)]
            self.sets.append(({int(who): tuple(self.used[column][int(who)] for column in COLUMNS) for who in inside}, side))

    def isolated(self, side: bool, column: int, most: int = 5) -> int | None:
        """The fewest people that a combination with coefficients from -2 to 2 isolates, by trying all."""
        distinct: list[dict[int, tuple[int, ...]]] = []
        for rows, of_side in self.sets:
            if of_side == side and rows not in distinct:
                distinct.append(rows)
        distinct = distinct[:most]
        atoms = sorted({(who, versions[column]) for rows in distinct for who, versions in rows.items()})
        if not atoms:
            return None
        place = {atom: at for at, atom in enumerate(atoms)}
        vectors = np.zeros((len(distinct), len(atoms)), int)
        for at, rows in enumerate(distinct):
            vectors[at, [place[(who, versions[column])] for who, versions in rows.items()]] = 1
        people = np.array([who for who, _ in atoms])
        fewest = None
        for weights in product(range(-2, 3), repeat=len(distinct)):
            left = len(np.unique(people[(np.array(weights) @ vectors) != 0]))
            if left and (fewest is None or left < fewest):
                fewest = left
        return fewest


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    people=st.integers(20, 60),
    runs=st.lists(st.tuples(st.integers(0, 14), st.integers(0, 4), st.integers(0, 12)), min_size=2, max_size=8),
)
def test_no_combination_of_sets_and_versions_isolates_few_people(seed: int, people: int, runs: list[tuple[int, int, int]]) -> None:
    least = 6
    world = World(seed, people, least)
    world.run(0, 0, 0)
    for new, gone, changed in runs:
        world.run(new, gone, changed)
    for side in (False, True):
        for column in range(len(COLUMNS)):
            fewest = world.isolated(side, column)
            first = world.roster.first(side)
            assert fewest is None or fewest >= min(least, first)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_smallest_cut_is_what_all_combinations_isolate_together(data: st.DataObject) -> None:
    """The cut equals the fewest people over all combinations where nobody's values change; with changes it is never more."""
    roster, sets, fresh = Roster.empty(), [], iter(np.arange(1, 500, dtype=np.uint64))
    for _ in range(data.draw(st.integers(2, 5))):
        new = np.array([next(fresh) for _ in range(data.draw(st.integers(0, 4)))], np.uint64)
        inside = roster.persons[roster.inside]
        out = inside[np.array(data.draw(st.lists(st.booleans(), min_size=len(inside), max_size=len(inside))), bool)]
        roster = roster.step(new, np.zeros(len(new), bool), out, {})
        sets.append(set(roster.persons[roster.inside].tolist()))
    everybody = sorted(set.union(*sets))
    vectors = np.array([[who in rows for who in everybody] for rows in sets], int).reshape(len(sets), len(everybody))
    counts = {int((np.array(weights) @ vectors != 0).sum()) for weights in product(range(-2, 3), repeat=len(sets))} - {0}
    weakest = roster.weakest(False)
    if counts and weakest is not None:
        assert weakest == min(counts)


def test_a_tracker_over_four_sets_is_refused() -> None:
    """S+T1, S+T2, S+T1+T2, S less one person differ pairwise by 100 people and more; together they isolate one person."""
    everybody = np.arange(1500, dtype=np.uint64)
    s, t1, t2 = everybody[:1000], everybody[1000:1100], everybody[1100:1200]
    roster = Roster.empty().step(np.concatenate([s, t1]), np.zeros(1100, bool), NOBODY, {})
    roster = roster.step(t2, np.zeros(100, bool), t1, {})
    require(roster, both(100))
    assert set(t1.tolist()) <= set(roster.persons[~roster.inside].tolist()), "who has left is known, and does not come back"
    with pytest.raises(NotOneSet, match="1 people instead of at least 100"):
        require(roster.step(NOBODY, np.zeros(0, bool), s[:1], {}), both(100))
    with pytest.raises(NotOneSet, match="1 people instead of at least 100"):
        base = Roster.empty().step(s, np.zeros(1000, bool), NOBODY, {}).step(t2, np.zeros(100, bool), NOBODY, {})
        require(base.step(NOBODY, np.zeros(0, bool), np.concatenate([t2, s[:1]]), {}), both(100))


def test_one_changed_value_waits_for_others() -> None:
    roster = Roster.empty().step(np.arange(500, dtype=np.uint64), np.zeros(500, bool), NOBODY, {})
    one, many = np.arange(1, dtype=np.uint64), np.arange(100, 220, dtype=np.uint64)
    taken = taken_over(roster, roster, {"income": one, "age": many}, both(100))
    assert taken.columns == ("age",) and taken.events == 2
    assert set(taken.changes.persons.tolist()) == set(many.tolist())
    again = taken_over(taken, taken, {"income": many[:99]}, both(100))
    assert again is taken


def test_changes_do_not_help_few_newcomers() -> None:
    """In a column without changes, only the newcomers differ."""
    roster = Roster.empty().step(np.arange(500, dtype=np.uint64), np.zeros(500, bool), NOBODY, {})
    trial = roster.step(np.arange(500, 503, dtype=np.uint64), np.zeros(3, bool), NOBODY, {"age": np.arange(200, dtype=np.uint64)})
    assert trial.weakest(False) == 3 and not enough(trial, False, both(100))


def test_leavers_take_company_by_a_private_key() -> None:
    """The order of a roster is that of hashes with a private key, so two parties draw different companions for the same leavers."""
    drawn = []
    for key in (1, 2):
        hashes = np.random.default_rng(key).permutation(5000)[:1000].astype(np.uint64)
        roster = Roster.empty().step(hashes, np.zeros(1000, bool), NOBODY, {})
        out = leaving(roster, hashes[:2], 0, False, both(100), 100)
        drawn.append({int(np.flatnonzero(hashes == who)[0]) for who in out})
        assert len(leaving(roster, hashes[:2], 90, False, both(150), 10)) == 60, "newcomers count too"
        assert len(leaving(roster, hashes[:950], 0, False, both(100), 100)) == 1000, "fewer would stay than may"
    assert len(drawn[0]) == len(drawn[1]) == 100 and {0, 1} <= drawn[0] & drawn[1]
    assert len(drawn[0] & drawn[1]) < 40
