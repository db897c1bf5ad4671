"""Trees over clients' rows: those of all rows in one place; whoever vanishes, comes back or says what cannot be."""

from __future__ import annotations

from importlib import import_module
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.federation import Federation, quiet
from tests.fl_tasks.protocols.horizontal_trees.wards import HOSPITALS, grown, play, pooled, rows, start_of, wards
from tombolo.fl_tasks.crypto.errors import OutOfRange
from tombolo.fl_tasks.learning.horizontal.columns import ForeignStatistics, ForeignSums
from tombolo.fl_tasks.learning.trees.records import kept
from tombolo.fl_tasks.learning.trees.state import RECORDS, TREES
from tombolo.fl_tasks.learning.trees.tree import SplitRecord, Tree, directions, margins
from tombolo.fl_tasks.protocols.horizontal_trees import programs as trees
from tombolo.fl_tasks.protocols.horizontal_trees.aggregator import _measured
from tombolo.fl_tasks.protocols.horizontal_trees.messages import ForeignTrees, OtherClients, integers
from tombolo.fl_tasks.runtime.checkpoints import Checkpoints
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.storage.schema import ForeignNumber

clients_side = import_module("tombolo.fl_tasks.protocols.horizontal_trees.client")  # the package has its function under that name
NUMBERS = count()


def model(fed: Federation, run: str, party: str) -> tuple[list[dict[str, Any]], list[SplitRecord]]:
    """Trees and records that a client keeps."""
    with fed.context(party).session(run, trees.MESSAGES, "train", Wait(0), quiet) as session:
        return kept(session, TREES, 99), [SplitRecord(*one) for one in kept(session, RECORDS, 99)]


def together(fed: Federation, run: str, objective: str = "logistic") -> tuple[Any, Any, np.ndarray, np.ndarray]:
    """Plan, start, and everybody's rows."""
    plan, start = start_of(fed, run)
    data = [rows(party, objective) for party in HOSPITALS]
    codes = np.concatenate([start.binner.transform(one.table) for one in data])
    return plan, start, codes, np.concatenate([one.labels for one in data])


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["logistic", "squared", "softmax"])
def test_the_trees_are_those_of_all_rows_in_one_place(tmp_path, objective):
    fed = wards(tmp_path, objective, rounds=2)
    run = fed.start()
    found = grown(fed, run, objective)
    plan, start, codes, labels = together(fed, run, objective)
    assert start.binner.missing[start.binner.names.index("age")]
    expected, totals = pooled(plan, start, codes, labels, 2)
    assert any(one.depth == plan.depth for one in expected)
    spread = labels.std() if objective == "squared" else 1.0
    np.testing.assert_allclose(np.concatenate([found[party]["margins"] for party in HOSPITALS]), totals, rtol=0, atol=1e-9 * spread)
    documents, _ = model(fed, run, "north")
    assert documents == [one.document() for one in expected]
    assert all(model(fed, run, party)[0] == documents for party in HOSPITALS)
    loss = plan.objective.loss(totals, labels, np.ones(len(labels)))
    assert found["centre"]["loss"][-1] == pytest.approx(loss, rel=1e-6)


@pytest.mark.slow
def test_whoever_dies_before_every_sending_ends_with_the_same_bits(tmp_path, monkeypatch):
    """Everybody dies before each of its sendings once, and forgets everything at every wait."""
    fed, other = (wards(tmp_path / name, rounds=1, depth=2) for name in ("dying", "living"))
    run, died = fed.start(), set()

    def gone(*moment: Any) -> bool:
        fresh = moment[:-1] not in died
        died.add(moment[:-1])
        return fresh

    found = play(fed, run, gone, monkeypatch)
    monkeypatch.undo()
    assert {"verdict", "values", "splits", "statistic"} <= {message for _, message, *_ in died}
    other.start()
    living = grown(other, run)
    assert model(fed, run, "south") == model(other, run, "north")
    for party in HOSPITALS:
        assert np.array_equal(found[party]["margins"], living[party]["margins"])


@pytest.mark.slow
def test_a_tree_ends_where_a_client_vanishes_and_the_client_comes_back(tmp_path, monkeypatch):
    """South is gone from the second level of round 2 until round 3 is over: that tree ends there, and the last is all rows'."""
    fed = wards(tmp_path, rounds=5, depth=2)
    run = fed.start()

    def gone(party: str, message: str, round: int, part: int | None, furthest: int) -> bool:
        return party == "south" and (round, part or 0) >= (2, 1) and furthest < 3

    found = play(fed, run, gone, monkeypatch)
    assert not [one for one in found.values() if isinstance(one, Exception)]
    assert found["centre"]["present"] == list(HOSPITALS)
    documents, records = model(fed, run, "south")
    assert all(model(fed, run, party) == (documents, records) for party in HOSPITALS)
    plan, start, codes, labels = together(fed, run)
    made = [Tree.from_document(one, 1, 1) for one in documents]
    assert [tree.depth for tree in made[:2]] == [2, 1]
    expected, _ = pooled(plan, start, codes, labels, 2)
    assert made[0] == expected[0]
    assert made[1].value[:3] == expected[1].value[:3]
    left = directions(records, codes)
    before = margins(made[:4], start.base, [left], len(codes))
    last, after = pooled(plan, start, codes, labels, 1, before)
    assert made[4].value == last[0].value
    assert made[4].gain == last[0].gain
    np.testing.assert_allclose(np.concatenate([found[party]["margins"] for party in HOSPITALS]), after, rtol=0, atol=1e-9)
    south = slice(*np.cumsum([len(rows(party).labels) for party in HOSPITALS])[1:3])
    two = margins(made[:2], start.base, [left], len(codes))
    others = np.delete(np.arange(len(codes)), np.arange(len(codes))[south])
    third, _ = pooled(plan, start, codes[others], labels[others], 1, two[others])
    assert made[2].value == third[0].value


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of one round, finished by all."""
    fed = wards(tmp_path_factory.mktemp("trained"), rounds=1)
    run = fed.start()
    grown(fed, run)
    return fed, run


def again(trained: Any, message: str, change: Any) -> Any:
    """North works through the run once more, and hears something else of the aggregator."""
    fed, run = trained
    with fed.context("north").session(run, trees.MESSAGES, "train", Wait(0), quiet) as session:
        session.state = fed.context("north").state(run, f"again-{next(NUMBERS)}")
        session._checkpoints = Checkpoints(session.state)
        receives, heard = session.receive, [0]

        def receive(what: str, frm: str, rows: int | None = None) -> pa.Table:
            table = receives(what, frm, rows)
            if what != message:
                return table
            heard[0] += 1
            columns = {one: session.values(table, one).to_pylist() for one in table.column_names}
            change(heard[0], columns)
            types = [table.schema.field(one).type for one in columns]
            arrays = [
                pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))
                for kind, values in zip(types, columns.values(), strict=True)
            ]
            return pa.table(arrays, names=list(columns)).replace_schema_metadata(table.schema.metadata)

        session.receive = receive
        return trees.PROGRAMS.data["client"](session, rows("north"))


def put(column: str, value: Any, at: int = 0, when: int = 1) -> Any:
    def change(heard: int, columns: dict[str, list[Any]]) -> None:
        if heard == when:
            columns[column][at] = value

    return change


@pytest.mark.slow
def test_who_hears_the_same_again_ends_with_the_same(trained):
    state = again(trained, "splits", lambda heard, columns: None)
    fed, run = trained
    with fed.context("north").session(run, trees.MESSAGES, "train", Wait(0), quiet) as session:
        assert np.array_equal(session.latest["margins"], state["margins"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("message", "change", "error"),
    [
        ("splits", put("node", 7), ForeignTrees),
        ("splits", put("column", 99), ForeignTrees),
        ("splits", put("column", -1), ForeignTrees),
        ("splits", put("cut", 99), ForeignTrees),
        ("splits", put("gain", 1e39), ForeignTrees),
        ("splits", put("next", 3), ForeignTrees),
        ("splits", put("next", 1, when=3), ForeignTrees),  # below the deepest level
        ("splits", lambda heard, columns: [one.append(one[0]) for one in columns.values()], ForeignTrees),
        ("values", put("value", float("inf")), ForeignTrees),
        ("values", lambda heard, columns: [one.pop() for one in columns.values()], ForeignTrees),
        ("verdict", put("kept", 2), ForeignNumber),
        ("statistic", put("value", float("nan")), ForeignStatistics),
        ("statistic", put("value", 1.5, when=4), ForeignStatistics),  # the length of a column's edges
        ("statistic", put("value", 1e9, at=5, when=4), ForeignStatistics),  # edges out of order
        ("statistic", put("value", 2.0, when=6), ForeignStatistics),  # of the base
        ("statistic", lambda heard, columns: columns["value"].pop() if heard == 6 else None, ForeignStatistics),
    ],
)
def test_what_an_aggregator_says_is_refused(trained, message, change, error):
    with pytest.raises(error) as caught:
        again(trained, message, change)
    assert caught.value.party == "centre"


@pytest.mark.slow
def test_a_tree_does_not_go_on_over_other_clients(trained, monkeypatch):
    told = iter([["north", "east", "south", "west"], ["north", "east", "south"]])
    monkeypatch.setattr(clients_side, "survivors", lambda session: next(told))
    with pytest.raises(OtherClients):
        again(trained, "splits", lambda heard, columns: None)


@pytest.mark.slow
@pytest.mark.parametrize("level", [0, 1])
def test_sums_that_do_not_add_up_are_refused(tmp_path, monkeypatch, level):
    """East puts a row into a bin of one column only, in the first level or in the second."""
    fed = wards(tmp_path, rounds=1)
    run = fed.start()
    contributes = clients_side.contribute_integers

    def contribute(session: Any, values: Any) -> bool:
        if session.me == "east" and session.moment["part"] == level:
            values[0] += 1
        return contributes(session, values)

    monkeypatch.setattr(clients_side, "contribute_integers", contribute)
    with pytest.raises(ForeignSums):
        grown(fed, run)


def test_integers_are_exact_or_refused():
    assert integers(np.array([1.0, -0.25]), 2.0**-24).tolist() == [2**24, -(2**22)]
    for values in ([np.nan], [np.inf], [2.0**53]):
        with pytest.raises(OutOfRange):
            integers(np.array(values), 1.0)


def test_early_stopping_compares_rounds_of_the_same_clients(trained):
    """Sums are made up; only what the aggregator makes of them is looked at."""
    fed, run = trained
    plan, start = start_of(fed, run)
    plan = type(plan)(**{**vars(plan), "patience": 2})
    with fed.context("centre").session(run, trees.MESSAGES, "train", Wait(0), quiet) as session:
        state: dict[str, Any] = {"loss": [], "validation": [], "since": 0, "present": []}
        said = []
        for present, lost in [("ab", 5.0), ("ab", 4.0), ("ab", 6.0), ("b", 9.0), ("b", 9.5), ("b", 9.1)]:
            state = _measured(session, plan, start, state, np.array([10.0, lost, 10.0, lost]), list(present), False)
            said.append((state["kept"], state["stopped"]))
    assert said == [(1, False), (2, False), (2, False), (4, False), (4, False), (4, True)]
    assert state["loss"][0] == pytest.approx(0.5)
