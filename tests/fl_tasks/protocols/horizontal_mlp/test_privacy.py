"""Noise is there, of the agreed size and the same on replay; epsilon is the library's, and stands in the card and in the ledger."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from tests.federation import quiet
from tests.fl_tasks.learning.horizontal.hospitals import HOSPITALS, networks
from tests.fl_tasks.protocols.horizontal_mlp.test_programs import PROGRAMS, planned
from tests.rounded import rounded
from tombolo.fl_tasks.learning.metrics import measure
from tombolo.fl_tasks.learning.terms import PrivacyTerms
from tombolo.fl_tasks.models.reading import part_of_run
from tombolo.fl_tasks.protocols.horizontal_mlp import programs as averaging
from tombolo.fl_tasks.protocols.horizontal_mlp.privacy import Noise, spent
from tombolo.fl_tasks.protocols.horizontal_mlp.programs import addends
from tombolo.fl_tasks.protocols.horizontal_mlp.state import NOISY
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.aligned import features, label, load_aligned
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.publish import publish
from tombolo.fl_tasks.workflow.train import train
from tombolo.fl_tasks.workflow.validate import validate

DELTA = 1e-5


def test_noise_is_gaussian_of_the_agreed_size():
    noise = Noise(5000, clip=0.5, multiplier=3.0, delta=DELTA)
    total = np.arange(5000.0)
    first, second = noise.noisy(total) - total, noise.noisy(total) - total
    assert not np.array_equal(first, second)
    for drawn in (first, second):
        assert stats.kstest(drawn, "norm", args=(0.0, 1.5)).pvalue > 1e-6
        assert drawn.std() == pytest.approx(1.5, rel=0.06)  # six deviations


@pytest.mark.parametrize("rounds", [1, 7, 60])
@pytest.mark.parametrize("multiplier", [0.8, 4.0])
def test_epsilon_is_that_of_one_gaussian_over_all_rounds(rounds, multiplier):
    """The same by another way of the library: rounds of Gaussians cost what one with less noise does."""
    import opendp.prelude as dp

    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T=float, nan=False)), dp.l2_distance(T=float)
    one = dp.m.make_gaussian(*space, scale=2.0 * multiplier / math.sqrt(rounds))
    found = Noise(0, clip=2.0, multiplier=multiplier, delta=DELTA).epsilon(rounds)
    assert found == pytest.approx(dp.c.make_zCDP_to_approxDP(one).map(2.0).epsilon(DELTA), rel=1e-9)
    rho = rounds / (2 * multiplier**2)
    assert found < rho + 2 * math.sqrt(rho * math.log(1 / DELTA))  # Bun and Steinke 2016, proposition 1.3
    assert Noise(10**6, 2.0, multiplier, DELTA).epsilon(rounds) > found  # rounding of a million weights costs something
    assert Noise(0, 2.0, multiplier, DELTA).epsilon(0) == 0.0


@pytest.mark.parametrize("target", [0.5, 3.0, 50.0])
def test_a_target_is_met_with_the_least_noise(target):
    noise = Noise.of(PrivacyTerms(delta=DELTA, epsilon=target), 20, 100)
    assert noise.epsilon(20) <= target < Noise(100, 1.0, noise.multiplier * 0.999, DELTA).epsilon(20)
    assert noise.epsilon(10) < noise.epsilon(20)
    assert Noise.of(PrivacyTerms(delta=DELTA, epsilon=target, clip=1e-4), 20, 10**6).multiplier > noise.multiplier
    assert Noise.of(PrivacyTerms(delta=DELTA, noise=2.5, clip=0.1), 20, 100) == Noise(100, 0.1, 2.5, DELTA)


def kept_noise(fed, run: str, round: int) -> np.ndarray:
    """What the aggregator added in a round: what it kept, less the sum of all clients' shortened gradients."""
    plan, parts = planned(fed, run)
    with fed.context("centre").session(run, averaging.MESSAGES, "train", Wait(0), quiet) as session:
        noisy = session.state[NOISY.of(round)]
    assert round == 1
    w = plan.training.initial()
    return noisy - sum(addends(plan, w, *both, [])[plan.head :] for both in parts.values())


@pytest.mark.parametrize("outcome", ["number", "classes"])
def test_the_sum_gets_noise_before_anybody_hears_of_it(tmp_path, outcome):
    fed = networks(tmp_path, outcome, {"delta": DELTA, "noise": 40.0, "clip": 0.5}, rounds=2, strategy="fedadam")
    run = fed.start()
    programs = {**PROGRAMS, "client": lambda session: averaging.client(session, clients_rows(session.me, outcome))}
    found = fed.roles(run, averaging.MESSAGES, "train", programs)
    noise = kept_noise(fed, run, 1)
    assert stats.kstest(noise, "norm", args=(0.0, 20.0)).pvalue > 1e-6
    assert all(np.array_equal(state["w"], found["centre"]["w"]) and not state["loss"] for state in found.values())
    again = fed.roles(run, averaging.MESSAGES, "train", programs)  # a cleared task
    assert np.array_equal(again["north"]["w"], found["north"]["w"])
    assert not list((tmp_path / "centre" / "store").rglob("*/training_loss"))


def clients_rows(party: str, outcome: str):
    from tests.fl_tasks.protocols.horizontal_mlp.test_programs import rows

    return rows(party, outcome)


def test_a_replay_adds_the_same_noise(tmp_path, monkeypatch):
    """The aggregator dies after it has drawn noise and before it has kept its state."""
    fed = networks(tmp_path, "classes", {"delta": DELTA, "noise": 4.0}, rounds=1)
    run, drawn, honest = fed.start(), [], averaging.moved

    def dies_once(*given):
        drawn.append(given[2])
        if len(drawn) == 1:
            raise RuntimeError("killed")
        return honest(*given)

    monkeypatch.setattr(averaging, "moved", dies_once)

    def centre(session):
        try:
            return averaging.aggregator(session)
        except RuntimeError:
            with fed.context("centre").session(run, averaging.MESSAGES, "train", Wait(math.inf), quiet) as again:
                return averaging.aggregator(again)

    fed.roles(run, averaging.MESSAGES, "train", {**PROGRAMS, "aggregator": centre})
    assert len(drawn) == 2
    assert np.array_equal(*drawn)


@pytest.mark.slow
def test_a_private_run_says_what_it_cost(tmp_path):
    fed = networks(tmp_path, "binary", {"delta": DELTA, "epsilon": 6.0}, rounds=5, step=1.0)
    run = fed.start()
    for stage in (validate, align):
        fed.stage(stage, run)
    fed.stage(train, run, leg_end=2)
    fed.stage(train, run)
    evaluated = fed.stage(evaluate, run)
    fed.stage(publish, run)
    context = fed.context("centre")
    cost = spent(context.terms, context.params(run), 5)
    assert 5.99 < cost["epsilon"] <= 6.0
    for party in fed.parties:
        noted = {event.subject: event.body for event in fed.context(party).chain.entries(run) if event.kind == "rounds"}
        assert 0 < noted["to 2"]["epsilon"] < noted["to 5"]["epsilon"] == cost["epsilon"]
        assert noted["to 5"]["delta"] == DELTA
        assert noted["to 5"]["loss"] is None
        card = next((tmp_path / party).rglob("model-card.md")).read_text()
        assert f"| epsilon | {cost['epsilon']:.4g} |" in card
        assert "| delta | 1e-05 |" in card
    encoders = {json.dumps(part_of_run(fed.context(party), run).encoder.to_document()) for party in HOSPITALS}
    assert len(encoders) == 1
    part = part_of_run(fed.context("north"), run)
    assert (part.encoder.mean[0], part.encoder.scale[0]) == (55.0, 35.0)  # the agreed range, nothing of the rows
    y, totals = [], []
    for party in HOSPITALS:
        aligned = load_aligned(fed.context(party), run)
        y.append(label(fed.context(party), aligned)[aligned.test])
        totals.append(part.totals(part.encoder.transform(features(fed.context(party), aligned).filter(aligned.test))))
    expected = measure("binary", np.concatenate(y), np.concatenate(totals))
    assert evaluated["north"]["metrics"]["logloss"] == rounded(expected["logloss"], evaluated["north"]["rows"], 1e-5)
