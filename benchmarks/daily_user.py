"""A daily user: 200 runs with newcomers, changed values and withdrawals. Prints who waits, who came along, and that training
goes on.

    python -m benchmarks.daily_user [PEOPLE ...]

Every day 10 people join, 20 values change and, once a week, somebody withdraws. ``numbers`` is how many independent numbers the
recipients get from a run about its rows, and ``share`` the share of the rarer class: they give the smallest group of people about
whom a change may tell something (:func:`tombolo.fl_tasks.privacy.numbers.smallest_group`).
"""

from __future__ import annotations

import sys
import time

import numpy as np

from tombolo.fl_tasks.privacy.company import admitted, leaving, require, taken_over
from tombolo.fl_tasks.privacy.roster import Roster

RUNS, POOL_DAYS, HIDE = 200, 30, 100
NUMBERS, SHARE = 5, 0.22
METRIC_BITS = 4 * 13


def play(people: int, seed: int = 1) -> None:
    """200 days of one federation."""
    random, began = np.random.default_rng(seed), time.process_time()
    mixed = np.uint64(0x9E3779B97F4A7C15)
    least = {False: int(np.ceil(32 * NUMBERS / (SHARE * (1 - SHARE)))), True: int(np.ceil(4 * METRIC_BITS / _entropy(SHARE)))}
    table = np.arange(people, dtype=np.uint64) * mixed
    test = (table >> np.uint64(40)) % np.uint64(20) < 4
    roster = Roster.empty().step(table, test, np.zeros(0, np.uint64), {})
    born, gone, changed, waiting, since = people, np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.uint64), None
    company, slowest, changes, groups = 0, 0.0, 0, []
    for day in range(1, RUNS + 1):
        start = time.process_time()
        waiting = np.concatenate([waiting, np.arange(born, born + 10, dtype=np.uint64) * mixed])
        born += 10
        inside = roster.persons[roster.inside]
        changed = np.union1d(changed, random.choice(inside, 20))
        if day % 7 == 0:
            gone, since = np.union1d(gone, random.choice(inside, 1)), since or day
        due = since is not None and day - since >= POOL_DAYS
        side = (waiting >> np.uint64(40)) % np.uint64(20) < 4
        out = np.concatenate(
            [leaving(roster, gone if due else gone[:0], int((side == of).sum()), of, least, HIDE) for of in (False, True)]
        )
        joins = admitted(roster, waiting, side, out, least)
        before = roster
        if joins.any() or len(out):
            roster = before.step(waiting[joins], side[joins], out, {})
            groups.append(int((~side[joins]).sum() + (~before.test[before.find(out)]).sum()))
        roster = taken_over(roster, before, {"income": np.setdiff1d(changed, roster.persons[~roster.inside])}, least)
        if roster.events > before.events and len(roster.changes.persons) > len(before.changes.persons):
            taken = roster.changes.persons[len(before.changes.persons) :]
            changes, changed = changes + len(taken), np.setdiff1d(changed, taken)
        require(roster, least)
        waiting = waiting[~joins]
        if len(out):
            company, gone, since = company + len(out) - len(gone), np.zeros(0, np.uint64), None
        slowest = max(slowest, time.process_time() - start)
    in_use = int(roster.inside.sum())
    assert all(group == 0 or group * SHARE * (1 - SHARE) / 32 >= NUMBERS for group in groups)
    print(
        f"{people:>9,} people, groups of {least[False]} (training) and {least[True]} (held out): after {RUNS} runs {in_use:,} "
        f"are in use, {len(waiting)} newcomers, {len(changed)} changed values and {len(gone)} withdrawals wait; "
        f"{company} companions left with {int((~roster.inside).sum()) - company} who withdrew; {changes} changed values "
        f"taken over; {roster.events} events; "
        f"the roster took {time.process_time() - began:.1f} s in all, {slowest:.2f} s on the slowest day",
        flush=True,
    )


def _entropy(share: float) -> float:
    return float(-share * np.log2(share) - (1 - share) * np.log2(1 - share))


if __name__ == "__main__":
    for size in [int(given) for given in sys.argv[1:]] or [10_000, 1_000_000]:
        play(size)
