"""Attacks on federated averaging: whether a row is in a sum, all else known; a bound that is left away; a row of wild size."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fl_tasks.learning.horizontal.hospitals import HOSPITALS, networks, tables
from tests.fl_tasks.protocols.horizontal_mlp.test_programs import planned
from tombolo.fl_tasks.learning.horizontal.columns import ClientRows
from tombolo.fl_tasks.learning.nets.training import Sample
from tombolo.fl_tasks.protocols.horizontal_mlp import programs as averaging
from tombolo.fl_tasks.protocols.horizontal_mlp.privacy import Noise
from tombolo.fl_tasks.protocols.horizontal_mlp.programs import ImpossibleSum, Plan, addends, checked

DELTA, CLIP, TRIES = 1e-3, 0.5, 3000


def client(session):
    table = tables("classes")[session.me]
    return averaging.client(
        session, ClientRows(table.select(["age", "dose", "ward"]), table.column("label").to_numpy().astype(float))
    )


PROGRAMS = {"aggregator": averaging.aggregator, "client": client}


@pytest.fixture
def trained(tmp_path) -> tuple[Plan, dict[str, tuple[Sample, Sample]]]:
    fed = networks(tmp_path, rounds=1, norm_bound=0.5)
    run = fed.start()
    fed.roles(run, averaging.MESSAGES, "train", PROGRAMS)
    return planned(fed, run)


@pytest.mark.parametrize("multiplier", [1.0, 4.0])
def test_whether_a_row_is_there(multiplier):
    """The attacker knows all other rows and the row itself, and tests the sum along its gradient: no test is better.

    Without noise it is always right. With noise it is right no more often than epsilon and delta allow.
    """
    row = np.random.default_rng(1).normal(size=8)
    row *= CLIP / np.linalg.norm(row)
    others = np.full(8, 20.0)
    noise = Noise(8, CLIP, multiplier, DELTA)
    present, absent = (
        np.array([(noise.noisy(total) - others) @ row / CLIP for _ in range(TRIES)]) for total in (others + row, others)
    )
    assert (others + row - others) @ row / CLIP == pytest.approx(CLIP)  # no noise: the row itself
    for limit in np.quantile(absent, [0.05, 0.25, 0.5, 0.75, 0.95]):
        right, wrong = np.mean(present > limit), np.mean(absent > limit)
        assert right <= np.exp(noise.epsilon(1)) * wrong + DELTA + 6 / np.sqrt(TRIES)
    if multiplier > 1:
        assert np.mean(present > 0) - np.mean(absent > 0) < 0.2


def test_a_bound_that_is_left_away_shows_in_the_sum_and_a_lie_about_rows_hides_it(trained):
    """What the page says of the bound, in both directions: the aggregator cannot do better, because it sees the sum only."""
    plan, parts = trained
    w = plan.training.initial()
    honest = {p: addends(plan, w, *both, plan.training.orders(len(both[0]), p, 1)) for p, both in parts.items()}
    checked(plan, np.sum(list(honest.values()), axis=0))
    pushed = np.zeros_like(honest["north"])
    pushed[0], pushed[plan.head] = len(parts["north"][0]), 100 * plan.norm_bound * len(parts["north"][0])
    total = sum(honest[party] for party in HOSPITALS[1:]) + pushed
    with pytest.raises(ImpossibleSum):
        checked(plan, total)
    total[0] *= 1000
    checked(plan, total)


def test_a_row_of_unheard_of_size_moves_a_private_sum_no_further_than_others(trained):
    """A poisoned or mistaken row has the same bound as any."""
    plan, parts = trained
    sample = parts["north"][0]
    wild = Sample(np.vstack([sample.x, np.full(sample.x.shape[1], 1e3)]), np.append(sample.y, 0.0))
    w = plan.training.initial() * 50
    moved = plan.training.clipped_gradient(w, wild, CLIP) - plan.training.clipped_gradient(w, sample, CLIP)
    assert np.linalg.norm(moved) <= CLIP * (1 + 1e-9)


def test_what_is_disclosed():
    told = {"statistic.value", "weights.weight", "training_loss.loss", "end.stop", "unmask.share"}
    assert set(averaging.MESSAGES.disclosures()) == told
