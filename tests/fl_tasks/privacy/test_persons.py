"""What is told of single persons: counted for each of them and each recipient, whoever asks, and refused by number only."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fl_tasks.privacy.paying import KEYS, Altered, release
from tombolo.fl_tasks.privacy.odometer import Damaged, Odometer, Spent, person_item
from tombolo.fl_tasks.privacy.persons import Persons, counted
from tombolo.storage.stores.local import LocalStore
from tombolo.storage.stores.memory import MemoryStore

ROW = {"meter": "rows", "amount": 0.0, "limit": None}


def ids(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.uint64)


def rows(odometer: Odometer) -> dict[str, float]:
    return {one.recipient: one.amount for one in odometer.readings()}


def test_each_person_is_counted_over_runs_and_agreements():
    odometer = Odometer(MemoryStore(), KEYS)
    odometer.pay_rows(release("v1", **ROW, to=("ben", "cy")), ids(5, 3, 1), 10, 25)
    odometer.pay_rows(release("v2", **ROW, run="run-2", agreement="other"), ids(3, 4), 10, 25)
    assert rows(odometer) == {"ben": 20, "cy": 10}
    with pytest.raises(Spent) as caught:
        odometer.pay_rows(release("v3", **ROW, run="run-3"), ids(1, 3, 4, 9, 2**64 - 1), 10, 25)
    text = str(caught.value)
    assert "for 1 person of 5, 10 bits more would pass 25 bits" in text and "limits.row_bits" in text
    with pytest.raises(Spent, match="for 2 of 3 persons"):
        odometer.pay_rows(release("v3", **ROW, run="run-3"), ids(1, 3, 9), 15.5, 25)
    odometer.pay_rows(release("v3", **ROW, run="run-3"), ids(1, 4, 9), 10, 25)
    odometer.pay_rows(release("v3", **ROW, run="run-4"), ids(1, 4, 9), 10, 25)
    assert rows(Odometer(odometer._store, KEYS)) == {"ben": 20, "cy": 10}, "the same item costs once"
    assert len(odometer._store.list("private/_odometer/")) == 2, "older snapshots are deleted"


def test_the_house_has_a_say():
    with pytest.raises(Spent, match="own"):
        Odometer(MemoryStore(), KEYS, {"rows": 8}).pay_rows(release("v1", **ROW), ids(1), 10, 25)


def test_the_meters_are_not_mixed_up():
    odometer = Odometer(MemoryStore(), KEYS)
    with pytest.raises(ValueError, match="pay_rows"):
        odometer.pay([release(meter="rows")])
    with pytest.raises(ValueError, match="use pay"):
        odometer.pay_rows(release(), ids(1), 1, 2)


def test_who_is_in_twice_pays_twice():
    odometer = Odometer(MemoryStore(), KEYS)
    odometer.pay_rows(release("v1", **ROW), ids(7, 7, 1), 10, 25)
    assert rows(odometer) == {"ben": 20}


@pytest.mark.parametrize("harm", ["flip", "delete"])
def test_a_damaged_snapshot_refuses(harm):
    store = Altered()
    Odometer(store, KEYS).pay_rows(release("v1", **ROW), ids(1, 2), 10, 25)
    key = store.list("private/_odometer/")[0]
    store.flip(key, 50) if harm == "flip" else store.delete(key)
    with pytest.raises(Damaged, match="Snapshot"):
        Odometer(store, KEYS).pay_rows(release("v2", **ROW), ids(1, 2), 10, 25)
    with pytest.raises(Damaged, match="Snapshot"):
        Odometer(store, KEYS).check_persons()


def test_writers_side_by_side(tmp_path):
    refused = []

    def work(number: int) -> None:
        try:
            Odometer(LocalStore(tmp_path), KEYS).pay_rows(release(f"v{number}", **ROW), ids(1, number + 10), 10, 45)
        except Spent:
            refused.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 4 and rows(Odometer(LocalStore(tmp_path), KEYS)) == {"ben": 40}
    assert len(LocalStore(tmp_path).list("private/_odometer/")) == 1


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=10), max_size=8), st.integers(0, 5))
def test_snapshots_add_up_like_a_dictionary(calls, floor):
    known, expected = Persons.none(floor), {}
    for call in calls:
        people, units = counted(ids(*call), 0.5)
        known = Persons.decode(known.plus(people, units).encode())
        for one in call:
            expected[one] = expected.get(one, 16 * floor) + 8
    assert dict(zip(known.ids.tolist(), known.units.tolist(), strict=True)) == expected
    assert known.known(ids(99, 3)).tolist() == [16 * floor, expected.get(3, 16 * floor)]
    assert known.ids.tolist() == sorted(expected)


@pytest.mark.parametrize("data", [b"", b"TPB1", b"XXXX" + bytes(12), Persons.none().encode() + b"x"])
def test_bytes_that_are_no_snapshot(data):
    with pytest.raises(ValueError):
        Persons.decode(data)


def test_a_million_persons(tmp_path):
    odometer = Odometer(LocalStore(tmp_path), KEYS)
    people = np.random.default_rng(1).integers(0, 2**63, 1_000_000, dtype=np.uint64)
    odometer.pay_rows(release("v1", **ROW), people, 10, 1000)
    begun = time.process_time()
    odometer.pay_rows(release("v2", **ROW), people[::-1], 10, 1000)
    assert time.process_time() - begun < 5
    assert rows(odometer) == {"ben": 20}


def test_the_same_version_of_the_same_persons_is_the_same_item():
    assert person_item("m1", ids(1, 2)) == person_item("m1", ids(2, 1)) != person_item("m2", ids(1, 2))
