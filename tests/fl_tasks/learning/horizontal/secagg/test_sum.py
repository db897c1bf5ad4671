"""A secure sum over real stores: exact over whoever stayed, whenever the others vanished; nothing for fewer than agreed."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fl_tasks.learning.horizontal.parties import AGGREGATORS_NAME, Turns
from tombolo.fl_tasks.learning.horizontal.secagg import MESSAGES, Closing, Sum, aggregate, contribute, from_words, to_words
from tombolo.fl_tasks.learning.horizontal.secagg import graph as graphs
from tombolo.fl_tasks.learning.horizontal.secagg.messages import BelowThreshold

CLIENTS = ("ash", "birch", "cedar", "fir", "oak")
STEPS = ("advertise", "shares", "masked", "consent", "unmask")
THRESHOLD = 3
COUNT = 4


def values(client: str) -> np.ndarray:
    return np.arange(COUNT) * 1.5 - 10.0 ** CLIENTS.index(client)


def programs(threshold: int = THRESHOLD, expected=CLIENTS):
    return {
        "client": lambda session: contribute(session, to_words(values(session.me), len(CLIENTS)), threshold),
        "aggregator": lambda session: aggregate(session, COUNT, Closing(threshold, 60.0, expected)),
    }


def play(tmp_path, monkeypatch, lost=None, **options):
    shutil.rmtree(tmp_path / "stores", ignore_errors=True)
    turns = Turns(tmp_path / "stores", CLIENTS, MESSAGES, lost=lost or {})
    return turns.play(programs(**options), monkeypatch)


def test_everybody_stays(tmp_path, monkeypatch):
    """Every party begins anew at every wait, so this is also a replay of each step."""
    results = play(tmp_path, monkeypatch)
    found = results.pop(AGGREGATORS_NAME)
    assert found.survivors == CLIENTS
    assert from_words(found.words) == pytest.approx(sum(values(one) for one in CLIENTS), abs=1e-6)
    assert results == dict.fromkeys(CLIENTS, True)


@pytest.mark.slow
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lost=st.dictionaries(st.sampled_from(CLIENTS), st.integers(0, 4), max_size=4))
def test_the_sum_over_those_who_stay_is_exact(tmp_path, monkeypatch, lost):
    """A client that sent its masked values is in the sum, unless too few are left to take their masks away."""
    results = play(tmp_path, monkeypatch, lost)
    survivors = tuple(one for one in CLIENTS if lost.get(one, 5) > STEPS.index("masked"))
    answering = [one for one in CLIENTS if one not in lost]
    found = results[AGGREGATORS_NAME]
    if len(answering) < THRESHOLD:
        assert isinstance(found, BelowThreshold)
        return
    assert isinstance(found, Sum), found
    assert found.survivors == survivors
    assert from_words(found.words) == pytest.approx(sum(values(one) for one in survivors), abs=1e-6)
    assert all(results[one] is True for one in answering)


def test_below_the_threshold_nothing_is_unmasked(tmp_path, monkeypatch):
    results = play(tmp_path, monkeypatch, {"ash": 2, "birch": 2, "cedar": 2})
    assert isinstance(results[AGGREGATORS_NAME], BelowThreshold)
    assert not [path for path in (tmp_path / "stores").rglob("*") if path.name in ("unmask", "consent")]


def test_two_survivors_are_never_summed(tmp_path, monkeypatch):
    """Whatever a threshold says."""
    results = play(tmp_path, monkeypatch, {"ash": 2, "birch": 2, "cedar": 2}, threshold=2)
    assert isinstance(results[AGGREGATORS_NAME], BelowThreshold)


def test_who_is_late_stays_out(tmp_path, monkeypatch):
    """A client whose masked values come after the step was closed is told so, and its values are in no sum."""
    turns = Turns(tmp_path / "stores", CLIENTS, MESSAGES, lost={"oak": 2})
    first = turns.play(programs(), monkeypatch)
    assert first[AGGREGATORS_NAME].survivors == CLIENTS[:-1]
    turns.lost = {}
    again = turns.play(programs(), monkeypatch)
    assert again["oak"] is False
    assert again[AGGREGATORS_NAME].survivors == CLIENTS[:-1]
    assert np.array_equal(again[AGGREGATORS_NAME].words, first[AGGREGATORS_NAME].words)


def test_nobody_waits_for_those_not_expected_but_they_may_come(tmp_path, monkeypatch):
    results = play(tmp_path, monkeypatch, {"oak": 0}, expected=CLIENTS[:-1])
    assert results[AGGREGATORS_NAME].survivors == CLIENTS[:-1]
    assert play(tmp_path, monkeypatch, expected=CLIENTS[:-1])[AGGREGATORS_NAME].survivors == CLIENTS


# -- over a graph ---------------------------------------------------------------------------------------------------------

MANY = tuple(f"client{number:02d}" for number in range(12))
MOST = 9


def play_many(tmp_path, monkeypatch, lost, clients=MANY, threshold=MOST):
    """Client i adds i: a sum over more clients than what is everybody's neighbourhood."""
    shutil.rmtree(tmp_path / "stores", ignore_errors=True)
    turns = Turns(tmp_path / "stores", clients, MESSAGES, lost=lost)
    programs = {
        "client": lambda session: contribute(session, to_words([clients.index(session.me)] * COUNT, len(clients)), threshold),
        "aggregator": lambda session: aggregate(session, COUNT, Closing(threshold, 60.0, clients)),
    }
    return turns.play(programs, monkeypatch)


def boxes(tmp_path, client: str) -> int:
    """How many other clients a client's shares were sealed to, by its books."""
    with Turns(tmp_path / "stores", MANY, MESSAGES).session(client) as session:
        return next(one.rows for one in session._exchange.books.entries("sent") if one.message == "shares")


@pytest.mark.slow
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lost=st.dictionaries(st.sampled_from(MANY), st.integers(0, 4), max_size=4))
def test_the_sum_over_a_graph_is_exact(tmp_path, monkeypatch, lost):
    """Twelve clients with eight neighbours each, any three of whom may vanish at any step, as in the complete graph."""
    monkeypatch.setattr(graphs, "COMPLETE_UP_TO", 5)
    results = play_many(tmp_path, monkeypatch, lost)
    found = results[AGGREGATORS_NAME]
    if len(lost) > len(MANY) - MOST:
        assert isinstance(found, BelowThreshold)
        return
    survivors = tuple(one for one in MANY if lost.get(one, 5) > STEPS.index("masked"))
    assert isinstance(found, Sum), found
    assert found.survivors == survivors
    assert from_words(found.words) == pytest.approx(sum(map(MANY.index, survivors)))
    if not any(count == 0 for count in lost.values()):
        assert boxes(tmp_path, next(one for one in MANY if one not in lost)) == 8


def test_a_neighbourhood_below_its_threshold_stops_the_sum(tmp_path, monkeypatch):
    """Ten of twelve are left, more than the threshold of all, but two of one neighbourhood of six are gone: nothing is unmasked."""
    monkeypatch.setattr(graphs, "COMPLETE_UP_TO", 5)
    monkeypatch.setattr(graphs, "DROPPED", 12)
    assert graphs.parameters(12, 4, 1) == (6, 5)
    results = play_many(tmp_path, monkeypatch, {MANY[3]: 2, MANY[8]: 2})
    assert isinstance(results[AGGREGATORS_NAME], BelowThreshold)
    assert "neighbourhood" in str(results[AGGREGATORS_NAME])
    assert not [path for path in (tmp_path / "stores").rglob("*") if path.name in ("unmask", "consent", "survivors")]


@pytest.mark.slow
def test_sixty_clients(tmp_path, monkeypatch):
    """At the real boundary: masks with 34 neighbours, and one client gone before and after each step."""
    sixty = tuple(f"client{number:02d}" for number in range(60))
    lost = {sixty[number]: steps for steps, number in enumerate((20, 7, 41, 30, 55))}
    results = play_many(tmp_path, monkeypatch, lost, sixty, 41)
    found = results[AGGREGATORS_NAME]
    survivors = tuple(one for one in sixty if lost.get(one, 5) > STEPS.index("masked"))
    assert found.survivors == survivors and len(survivors) == 57
    assert from_words(found.words) == pytest.approx(sum(map(sixty.index, survivors)))
    assert all(results[one] is True for one in sixty if one not in lost)
