"""Training by turns: every party begins anew at every wait; clients vanish, and come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.federation import FOREVER, Federation, quiet
from tests.fl_tasks.learning.horizontal import turns
from tests.fl_tasks.learning.horizontal.hospitals import HOSPITALS, hospitals, tables
from tests.fl_tasks.learning.horizontal.parties import Vanished
from tombolo.fl_tasks.learning import regression
from tombolo.fl_tasks.learning.horizontal import newton
from tombolo.fl_tasks.learning.horizontal.columns import ClientRows, ForeignStatistics, Statistics, encoder, expanded, raw
from tombolo.fl_tasks.learning.horizontal.secagg.messages import BelowThreshold
from tombolo.fl_tasks.learning.horizontal.state import CLOSED
from tombolo.fl_tasks.learning.horizontal.statistics import statistics_of
from tombolo.fl_tasks.learning.horizontal.sums import Attendance
from tombolo.fl_tasks.learning.rounding import shown
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.tables.encoding import NoColumns

COLUMNS = ["age", "dose", "ward"]


def rows(party: str) -> ClientRows:
    table = tables()[party]
    return ClientRows(table.select(COLUMNS), table.column("label").to_numpy().astype(float))


def play(
    fed: Federation,
    run: str,
    gone: Callable[[str, int], bool],
    monkeypatch: pytest.MonkeyPatch,
    protocol: Any = newton,
    rows: Callable[[str], ClientRows] = rows,
) -> dict[str, Any]:
    """Turns in which ``gone(party, round)`` says who sends nothing once the furthest party has finished a round."""
    return turns.play(fed, run, lambda party, name, round, part, furthest: gone(party, furthest), monkeypatch, protocol, rows)


def pooled(fed: Federation, run: str, parties: tuple[str, ...]) -> np.ndarray:
    with fed.context("centre").session(run, newton.MESSAGES, "train", Wait(0), quiet) as session:
        made = encoder(session.terms, statistics_of(session.state))
    x = np.concatenate([made.transform(rows(party).table) for party in parties])
    y = np.concatenate([rows(party).labels for party in parties])
    weights, intercept = regression.logistic(x, y, 0.01)
    return np.concatenate([[intercept], weights])


@pytest.mark.slow
def test_a_client_that_comes_back_is_in_the_model(tmp_path, monkeypatch):
    """South misses the second round and is there again from the third or so on; all end with the model of all rows."""
    fed = hospitals(tmp_path)
    run = fed.start()
    found = play(fed, run, lambda party, round: party == "south" and round == 1, monkeypatch)
    assert found["centre"]["present"] == list(HOSPITALS)
    for party in fed.parties:
        state = found[party]
        assert state["ahead" if party == "centre" else "w"] == pytest.approx(pooled(fed, run, HOSPITALS), abs=1e-6)


@pytest.mark.slow
def test_below_the_threshold_training_ends_for_all(tmp_path, monkeypatch):
    fed = hospitals(tmp_path)
    run = fed.start()
    found = play(fed, run, lambda party, round: party in ("south", "west") and round >= 1, monkeypatch)
    assert isinstance(found["centre"], BelowThreshold)
    assert set(found) == {"centre"}


@pytest.mark.slow
@pytest.mark.parametrize("message", ["weights", "verdict"])
def test_an_aggregator_that_dies_before_it_tells_of_a_round_tells_it_again(tmp_path, message):
    fed = hospitals(tmp_path, rounds=1)
    run = fed.start()

    def dying(session: Any) -> Any:
        with fed.context("centre").session(run, newton.MESSAGES, "train", FOREVER, quiet) as first:
            sends = first.send

            def send(name: str, to: Any = None, /, **columns: Any) -> None:
                if name == message:
                    raise Vanished
                sends(name, to, **columns)

            first.send = send
            with pytest.raises(Vanished):
                newton.aggregator(first)
        return newton.aggregator(session)

    client = {"client": lambda session: newton.client(session, rows(session.me)), "aggregator": dying}
    states = fed.roles(run, newton.MESSAGES, "train", client)
    assert states["north"]["loss"] == [shown(loss) for loss in states["centre"]["loss"]]


def test_statistics_make_one_encoder(tmp_path):
    terms = hospitals(tmp_path).context("centre").terms
    assert expanded(terms) == [("age", False), ("dose", False), ("ward=a", True), ("ward=b", True)]
    table = tables()["north"]
    x = raw(terms, table)
    assert np.isnan(x[:, 0]).sum() == np.isnan(table.column("age").to_numpy()).sum() > 0
    found = Statistics(300.0, np.full(4, 300.0), np.array([50.0, 1e-4, 0.5, 0.01]), np.array([9.0, 1e-5, 0.5, 0.1]))
    made = encoder(terms, found)
    assert made.names == ("age", "dose", "ward=a")  # three of ward b among all clients are too few
    assert made.transform(table)[np.isnan(x[:, 0]), 0] == pytest.approx(0.0)
    assert Statistics.of(found.document()).document() == found.document()
    with pytest.raises(NoColumns):
        encoder(terms, Statistics(300.0, found.present, found.mean, np.zeros(4)))
    with pytest.raises(ForeignStatistics):
        statistics_of(hospitals(tmp_path / "again").context("centre").state("run-1", "train"))


def test_a_point_that_is_no_better_is_left_with_a_shorter_step(tmp_path):
    """Sums are made up; only what the aggregator makes of them is looked at."""
    fed = hospitals(tmp_path)
    run = fed.start()
    with fed.context("centre").session(run, newton.MESSAGES, "train", Wait(0), quiet) as session:
        session.last_round = 15
        x, y = np.array([[1.0, -1.0], [1.0, 1.0], [1.0, 2.0]]), np.array([0.0, 1.0, 0.0])
        first = newton._moved(session, newton._start(2), newton.addends("binary", x, y, np.zeros(2)), ["a"])
        assert np.array_equal(first["ahead"], -first["step"])
        worse = newton.addends("binary", x, y, np.zeros(2))
        worse[1] *= 2
        second = newton._moved(session, first, worse, ["a"])
        assert np.array_equal(second["w"], first["w"])
        assert second["ahead"] == pytest.approx(-first["step"] / 4)
        assert newton._moved(session, first, worse, ["a", "b"])["best"] > first["best"]  # other clients: another measure


@pytest.mark.parametrize(("let_in", "expected"), [(HOSPITALS[:3], list(HOSPITALS)), (HOSPITALS, list(HOSPITALS[:3]))])
def test_who_came_too_late_is_waited_for_again_and_who_was_let_in_and_vanished_is_not(tmp_path, let_in, expected):
    """West's keys of the first round are there; either the roster was closed before, or west was on it and sent no more."""
    fed = hospitals(tmp_path)
    run = fed.start()
    with fed.context("west").session(run, newton.MESSAGES, "train", Wait(0), quiet) as west:
        west.enter(1)
        west.send("advertise", west.aggregator, keys=b"keys", signature=b"signature")
    with fed.context("centre").session(run, newton.MESSAGES, "train", Wait(0), quiet) as centre:
        centre.state.keep(CLOSED.of(1, 0, "advertise"), list(let_in))
        centre.enter(2)
        attendance = Attendance(list(HOSPITALS[:3]))
        attendance.expect_returned(centre)
        assert attendance.expected == expected
