"""Federated averaging: joint weights are those of the same sums in the clear, and interruptions change no bit of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.federation import Federation, quiet
from tests.fl_tasks.learning.horizontal.hospitals import HOSPITALS, networks, tables
from tests.fl_tasks.learning.horizontal.test_newton import COLUMNS, play
from tombolo.fl_tasks.crypto.errors import WrongShape
from tombolo.fl_tasks.learning.horizontal.columns import ClientRows, ForeignStatistics, encoder
from tombolo.fl_tasks.learning.horizontal.statistics import statistics_of
from tombolo.fl_tasks.learning.nets.training import Sample
from tombolo.fl_tasks.protocols.horizontal_mlp import programs as averaging
from tombolo.fl_tasks.protocols.horizontal_mlp.programs import Diverged, ImpossibleSum, Plan, addends, checked, moved, start
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.storage.schema import ForeignNumber, TooManyRows

PROGRAMS = {"aggregator": averaging.aggregator, "client": lambda session: averaging.client(session, rows(session.me))}


def rows(party: str, outcome: str = "classes") -> ClientRows:
    table = tables(outcome)[party]
    return ClientRows(table.select(COLUMNS), table.column("label").to_numpy().astype(float))


def planned(fed: Federation, run: str, change: Any = None) -> tuple[Plan, dict[str, tuple[Sample, Sample]]]:
    """The plan of a trained run, and every client's rows as it trained on them."""
    with fed.context("centre").session(run, averaging.MESSAGES, "train", Wait(0), quiet) as session:
        found = statistics_of(session.state)
        made = encoder(session.terms, found)
        plan = Plan.of(session, len(made.names))
        outcome = session.terms.task.outcome
    parts = {}
    for party in HOSPITALS:
        own = rows(party, outcome)
        labels = (own.labels - found.label_mean) / found.label_scale
        parts[party] = plan.divided(Sample(made.transform(own.table), labels), party)
    return plan, parts


def in_the_clear(plan: Plan, parts: dict[str, tuple[Sample, Sample]], rounds: int) -> dict[str, Any]:
    """The aggregator's state after rounds over plain sums."""
    state = start(plan)
    for round in range(1, rounds + 1):
        sums = sum(
            addends(plan, state["w"], *both, plan.training.orders(len(both[0]), party, round)) for party, both in parts.items()
        )
        state = {**moved(plan, state, checked(plan, sums), list(parts), round == rounds), "round": round}
        if state["stopped"]:
            break
    return state


@pytest.mark.parametrize("strategy", ["fedavg", "fedprox", "fedadam"])
def test_joint_weights_are_those_of_sums_in_the_clear(tmp_path, strategy):
    fed = networks(tmp_path, strategy=strategy, local_epochs=2)
    found = fed.roles(fed.start(), averaging.MESSAGES, "train", PROGRAMS)
    plan, parts = planned(fed, "run-1")
    expected = in_the_clear(plan, parts, 4)
    assert np.abs(expected["w"] - start(plan)["w"]).max() > 0.01
    for state in found.values():
        assert state["w"] == pytest.approx(expected["w"], abs=1e-5)
        assert state["loss"] == pytest.approx(expected["loss"], rel=5e-4, abs=1e-5)  # clients get four digits
        assert state["loss"][-1] < state["loss"][0]
        assert np.array_equal(state["w"], found["centre"]["w"])


@pytest.mark.slow
def test_interruptions_change_no_bit(tmp_path, monkeypatch):
    """Once everybody begins anew at every wait, as a killed and retried task does; once nobody does. Keys differ as well."""
    straight, halting = networks(tmp_path / "straight", rounds=3), networks(tmp_path / "halting", rounds=3)
    plain = straight.roles(straight.start(), averaging.MESSAGES, "train", PROGRAMS)
    found = play(halting, halting.start(), lambda party, round: False, monkeypatch, averaging, rows)
    for party, state in found.items():
        assert np.array_equal(state["w"], plain[party]["w"])
        assert state["loss"] == plain[party]["loss"]


@pytest.mark.slow
def test_a_client_that_comes_back_is_in_the_sums_again(tmp_path, monkeypatch):
    """South misses the second round; all end with the same weights."""
    fed = networks(tmp_path, rounds=6)
    found = play(fed, fed.start(), lambda party, round: party == "south" and round == 1, monkeypatch, averaging, rows)
    assert found["centre"]["present"] == list(HOSPITALS)
    assert all(np.array_equal(found[party]["w"], found["centre"]["w"]) for party in HOSPITALS)


@pytest.mark.slow
def test_a_client_that_vanishes_is_missed_from_then_on(tmp_path, monkeypatch):
    fed = networks(tmp_path, rounds=4)
    found = play(fed, fed.start(), lambda party, round: party == "west" and round >= 1, monkeypatch, averaging, rows)
    assert found["centre"]["present"] == ["north", "east", "south"]
    assert set(found) == {"centre", "north", "east", "south"}
    assert all(np.array_equal(found[party]["w"], found["centre"]["w"]) for party in ("north", "east", "south"))


def test_patience_keeps_the_best_round(tmp_path):
    """Steps far too long: validation rows say so, and training ends before the rounds do."""
    fed = networks(tmp_path, rounds=12, patience=2, validation_fraction=0.3, step=0.5, momentum=0.5)
    found = fed.roles(fed.start(), averaging.MESSAGES, "train", PROGRAMS)
    plan, parts = planned(fed, "run-1")
    assert all(len(validation) == round(0.3 * (len(sample) + len(validation))) for sample, validation in parts.values())
    expected = in_the_clear(plan, parts, 12)
    assert found["centre"]["round"] == expected["round"] < 12
    assert found["north"]["w"] == pytest.approx(expected["best_w"], abs=1e-4)
    losses = sum(plan.training.loss(found["north"]["w"], validation) for _, validation in parts.values())
    assert losses / sum(len(validation) for _, validation in parts.values()) == pytest.approx(expected["best"], abs=1e-3)


def test_an_update_is_shortened_to_the_agreed_norm(tmp_path):
    fed = networks(tmp_path, rounds=1, norm_bound=0.05)
    run = fed.start()
    found = fed.roles(run, averaging.MESSAGES, "train", PROGRAMS)
    plan, parts = planned(fed, run)
    w = plan.training.initial()
    for party, both in parts.items():
        values = addends(plan, w, *both, plan.training.orders(len(both[0]), party, 1))
        assert np.linalg.norm(values[plan.head :]) == pytest.approx(0.05 * len(both[0]))
    assert 0 < np.linalg.norm(found["centre"]["w"] - w) <= 0.05


def sabotaged(monkeypatch: pytest.MonkeyPatch, name: str, change: Any) -> None:
    honest = getattr(averaging, name)
    monkeypatch.setattr(averaging, name, lambda *given: change(honest(*given)))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda state: {**state, "w": state["w"][:-1]}, ForeignStatistics),
        (lambda state: {**state, "w": np.append(state["w"], 0.0)}, TooManyRows),
        (lambda state: {**state, "w": np.where(np.arange(len(state["w"])) == 3, np.nan, state["w"])}, ForeignNumber),
        (lambda state: {**state, "w": state["w"] * np.inf}, ForeignNumber),
    ],
)
def test_foreign_weights_are_refused(tmp_path, monkeypatch, change, error):
    fed = networks(tmp_path)
    sabotaged(monkeypatch, "moved", change)
    with pytest.raises(error) as caught:
        fed.roles(fed.start(), averaging.MESSAGES, "train", PROGRAMS)
    assert caught.value.party == "centre"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda values: values[:-1], WrongShape),
        (lambda values: values * np.where(np.arange(len(values)) < 4, 1.0, 1e4), ImpossibleSum),
        (lambda values: np.zeros_like(values), ImpossibleSum),
    ],
)
def test_foreign_updates_are_refused(tmp_path, monkeypatch, change, error):
    fed = networks(tmp_path)
    sabotaged(monkeypatch, "addends", change)
    with pytest.raises(error):
        fed.roles(fed.start(), averaging.MESSAGES, "train", PROGRAMS)


def test_a_step_that_is_too_long_is_told(tmp_path):
    fed = networks(tmp_path, outcome="number", step=100, local_epochs=50, momentum=0.99)
    programs = {**PROGRAMS, "client": lambda session: averaging.client(session, rows(session.me, "number"))}
    with pytest.raises(Diverged):
        fed.roles(fed.start(), averaging.MESSAGES, "train", programs)


def test_a_client_that_is_left_out_of_a_sum_hears_the_joint_weights(tmp_path, monkeypatch):
    """What it contributes is not used; its state is the others'."""
    fed = networks(tmp_path, rounds=2)

    def lonely(session: Session, values: Any) -> bool:
        return (session.me == "west" and session.round == 2) or honest(session, values)

    honest = averaging.contribute_values
    monkeypatch.setattr(averaging, "contribute_values", lonely)
    found = fed.roles(fed.start(), averaging.MESSAGES, "train", PROGRAMS)
    assert found["centre"]["present"] == ["north", "east", "south"]
    assert all(np.array_equal(state["w"], found["centre"]["w"]) for state in found.values())
