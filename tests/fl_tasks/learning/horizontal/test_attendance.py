"""Who was in the sums of a run, as every party may know it: west misses two rounds and is back for the last."""

from __future__ import annotations

import pytest

from tests.fl_tasks.learning.horizontal.hospitals import HOSPITALS, hospitals
from tombolo.fl_tasks.learning.horizontal.attendance import Cohort, cohorts, joined
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.train import train
from tombolo.fl_tasks.workflow.validate import validate


def test_neighbours_are_joined_and_kinds_of_sums_are_not():
    every, three = ("a", "b", "c", "d"), ("a", "b", "c")
    single = [
        *(Cohort("train", 0, 0, every) for _ in range(3)),
        Cohort("train", 1, 1, every),
        Cohort("train", 2, 2, every),
        Cohort("train", 3, 3, None),
        Cohort("train", 4, 4, three),
        Cohort("evaluate", 0, 0, three),
    ]
    found = [(one.title, one.survivors) for one in joined(single)]
    assert found == [
        ("statistics", every),
        ("rounds 1 to 2", every),
        ("round 3", None),
        ("round 4", three),
        ("evaluation", three),
    ]


@pytest.mark.slow
def test_the_aggregator_knows_all_and_a_client_those_that_it_was_in(tmp_path):
    fed = hospitals(tmp_path)
    run = fed.start(rounds=5)
    assert cohorts(fed.context("north").private, run) == []
    others = [party for party in fed.parties if party != "west"]
    for stage in (validate, align):
        fed.stage(stage, run)
    fed.stage(train, run, leg_end=1)
    fed.stage(train, run, others, leg_end=3)
    for stage in (train, evaluate):
        fed.stage(stage, run)
    told = {party: [(one.title, one.survivors) for one in cohorts(fed.context(party).private, run)] for party in fed.parties}
    statistics, first, missed = told["centre"][:3]
    assert (statistics, first) == (("statistics", HOSPITALS), ("round 1", HOSPITALS))
    assert missed[0].startswith("rounds 2 to ") and missed[1] == HOSPITALS[:3]
    assert told["centre"][-1][0] == "evaluation"
    assert told["north"] == told["centre"]
    assert told["west"][:3] == [statistics, first, (missed[0], None)]
