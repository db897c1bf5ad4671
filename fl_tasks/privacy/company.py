"""Who may join and who leaves with whom, so that no event of a roster is about too few people (:mod:`.roster`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tombolo.fl_tasks.privacy.roster import Mask, NotOneSet, Persons, Roster

Least = Mapping[bool, int]
"""The smallest group of people about whom a change may tell something: of training rows (False) and of held-out rows (True)."""


def enough(roster: Roster, test: bool, least: Least) -> bool:
    """Whether no combination of the sets of a side isolates too few people. A first set that is smaller is the least itself."""
    weakest = roster.weakest(test)
    return weakest is None or weakest >= min(least[test], roster.first(test))


def require(roster: Roster, least: Least) -> None:
    """Raise :class:`NotOneSet` if combinations of sets isolate too few people, on either side."""
    for test, name in ((False, "training"), (True, "held-out")):
        if not enough(roster, test, least):
            raise NotOneSet(f"{name} rows: {roster.weakest(test)} people instead of at least {least[test]}.")


def leaving(roster: Roster, absent: Persons, newcomers: int, test: bool, least: Least, hide: int) -> Persons:
    """The people of one side who leave: those who are ``absent``, with companions from the same side.

    Those who leave and the ``newcomers`` are a group together, and ``hide`` at least leave. Companions are the first of the roster,
    whose order is random, by a private key: by a shared key the peers could draw them too, and would see who is not drawn but
    leaves. If fewer than ``hide`` would stay, all leave. The array is empty if nobody is absent on this side.
    """
    side = roster.persons[roster.inside & (roster.test == test)]
    absent = np.intersect1d(absent, side)
    if not len(absent):
        return absent
    wanted = max(hide, least[test] - newcomers, len(absent))
    others = np.setdiff1d(side, absent)
    company = others[: wanted - len(absent)]
    if 0 < len(others) - len(company) < hide:
        company = others
    return np.sort(np.concatenate([absent, company]))


def admitted(roster: Roster, new: Persons, new_test: Mask, out: Persons, least: Least) -> Mask:
    """Which strangers may join in this run, while ``out`` leave; shape of ``new``. All of a side, or none of it."""
    able = np.zeros(len(new), bool)
    for test in (False, True):
        of_side = new_test == test
        trial = roster.step(new[of_side], new_test[of_side], out, {})
        if of_side.any() and enough(trial, test, least):
            able |= of_side
    return able


def taken_over(roster: Roster, before: Roster, changed: Mapping[str, Persons], least: Least) -> Roster:
    """The roster with those changes of values that concern enough people: of each column and side all, or none.

    ``changed`` has the people by column. ``before`` is the roster before this run's event; ``roster`` already has this event,
    or equals ``before`` if nobody joins or leaves.
    """
    taken: dict[str, Persons] = {}
    for column, who in changed.items():
        who = who[roster.inside[roster.find(who)]]
        for test in (False, True):
            of_side = who[roster.test[roster.find(who)] == test]
            more = {**taken, column: np.concatenate([taken.get(column, of_side[:0]), of_side])}
            if len(of_side) and enough(_with_changes(roster, before, more), test, least):
                taken = more
    return _with_changes(roster, before, taken) if taken else roster


def _with_changes(roster: Roster, before: Roster, changed: Mapping[str, Persons]) -> Roster:
    nobody = np.zeros(0, np.uint64)
    moved = roster if roster.events > before.events else roster.step(nobody, np.zeros(0, bool), nobody, {})
    return moved.changing(changed)
