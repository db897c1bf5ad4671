"""Declared objects: names as they lie in the store, values as they went in, and the first writer's word."""

from __future__ import annotations

import numpy as np
import pytest

from tombolo.fl_tasks.runtime.state import AGREEMENT, ARRAYS, BYTES, DOCUMENT, LISTING, NUMBER, STAGE, TEXT, Item, RunState, numbers
from tombolo.storage.identity import Vault
from tombolo.storage.private import PrivateArea
from tombolo.storage.stores.memory import MemoryStore

ROUND = Item("sums/{round:06d}.{part}", NUMBER, "A sum.", place=STAGE)
NOTE = Item("note", TEXT, "A note.")


def test_a_settlement_deletes_objects_of_the_run_only():
    for place in (AGREEMENT, STAGE):
        with pytest.raises(ValueError, match="of the run only"):
            Item("key", BYTES, "A key.", place=place, ends="settlement")


@pytest.fixture
def private() -> PrivateArea:
    return PrivateArea(MemoryStore(), Vault.new(), "trial")


@pytest.fixture
def state(private: PrivateArea) -> RunState:
    return RunState(private, "run-1", "train")


@pytest.mark.parametrize(
    ("codec", "value", "stored"),
    [
        (DOCUMENT, {"b": 1, "a": [0.5]}, b'{"a":[0.5],"b":1}'),
        (LISTING, ["x", 2], b'["x",2]'),
        (TEXT, "passed", b"passed"),
        (NUMBER, 12, b"12"),
        (BYTES, b"\x00\x01", b"\x00\x01"),
    ],
)
def test_values_come_back_and_bytes_are_plain(private, state, codec, value, stored):
    item = Item("one", codec, "One.")
    assert item not in state and state.get(item) is None
    with pytest.raises(KeyError):
        state[item]
    assert state.keep(item, value) == value == state[item] == state.get(item)
    assert private.get("runs/run-1/one") == stored
    state.delete(item)
    assert item not in state


def test_arrays_come_back(state):
    state.keep(Item("w", ARRAYS, "W."), {"w": np.arange(3.0), "round": 2})
    assert state[Item("w", ARRAYS, "W.")]["w"].tolist() == [0.0, 1.0, 2.0]
    assert state.keep(Item("ids", numbers("<u8"), "Ids."), np.array([3, 2**63], "<u8")).tolist() == [3, 2**63]


def test_the_first_writer_stands(private, state):
    other = RunState(private, "run-1")
    assert state.keep(NOTE, "mine") == "mine"
    assert other.keep(NOTE, "theirs") == "mine"
    assert other.once(NOTE, lambda: pytest.fail("it is there")) == "mine"
    assert RunState(private, "run-2").once(NOTE, lambda: "made") == "made"


def test_families_are_listed_by_what_is_open(private, state):
    for round, part in ((2, 0), (1, 0), (1, 11)):
        state.keep(ROUND.of(round, part), 10 * round + part)
    private.keep("runs/run-1/train/sums/000001.0/below", b"another family's")
    private.keep("runs/run-1/evaluate/sums/000009.0", b"9")
    assert [(one.key, state[one]) for one in state.all(ROUND)] == [
        (("000001", "0"), 10),
        (("000001", "11"), 21),
        (("000002", "0"), 20),
    ]
    assert [one.key for one in state.all(ROUND.of(1))] == [("000001", "0"), ("000001", "11")]
    assert [one.name for one in state.all(ROUND.of(2, 0))] == ["sums/000002.0"]
    with pytest.raises(ValueError, match="open fields"):
        state.get(ROUND.of(1))


def test_a_value_in_braces_is_no_field(state):
    with pytest.raises(ValueError, match="open fields"):
        state.get(Item("of/{party}", BYTES, "One.").of("{0}"))


def test_patterns_match_names_and_nothing_else():
    assert ROUND.pattern().fullmatch("runs/a.b/train/sums/000001.3")
    assert not ROUND.pattern().fullmatch("runs/a/train/sums/one.3")
    assert not ROUND.pattern().fullmatch("runs/a/sums/000001.3")
    assert Item("models/{version}", BYTES, "One.", place=AGREEMENT).pattern().fullmatch("models/run-1")
