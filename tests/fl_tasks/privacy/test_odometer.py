"""The odometer: nothing passes a limit, what is identical costs once, and whoever pays second sees what the first has paid."""

from __future__ import annotations

import multiprocessing
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fl_tasks.privacy.paying import KEYS, Altered, filled, release, segment
from tombolo.fl_tasks.privacy.odometer import Damaged, Odometer, Release, Restored, Spent
from tombolo.storage.identity import PartyKeys, SigningKey, UnsealKey, Vault
from tombolo.storage.ledger.chain import Chain
from tombolo.storage.ledger.entries import Entry
from tombolo.storage.stores.base import KeyTaken
from tombolo.storage.stores.local import LocalStore
from tombolo.storage.stores.memory import MemoryStore


def amounts(odometer: Odometer) -> dict[tuple[str, str, str], float]:
    return {(one.recipient, one.population, one.meter): one.amount for one in odometer.readings()}


def test_what_is_paid_is_counted_for_every_recipient():
    odometer = Odometer(MemoryStore(), KEYS)
    assert odometer.readings() == [] and odometer.head()["index"] == 0 and odometer.statement(["ben"]) == {}
    odometer.pay([release("a", 30, to=("ben", "cy")), release("b", 5, meter="metric", population="others")])
    odometer.pay([release("c", 20, run="run-2", purpose="predict")])
    assert amounts(odometer) == {
        ("ben", "people", "progress"): 50,
        ("ben", "others", "metric"): 5,
        ("cy", "people", "progress"): 30,
    }
    reading = next(one for one in odometer.readings() if one.amount == 50)
    assert [(use.run, use.purpose, use.amount) for use in reading.uses] == [("run-1", "train", 30), ("run-2", "predict", 20)]
    assert (reading.limit, reading.left, reading.last.run) == (100, 50, "run-2")
    assert odometer.readings() == Odometer(odometer._store, KEYS).readings()
    assert odometer.head() == Odometer(odometer._store, KEYS).head()
    stated = odometer.statement(["cy"])
    assert stated["odometer"] == odometer.head()
    assert stated["readings"] == [{"recipient": "cy", "population": "people", "meter": "progress", "amount": 30}]


def test_what_is_identical_costs_once():
    odometer = Odometer(MemoryStore(), KEYS)
    odometer.pay([release("a", 60), release("a", 60)])
    odometer.pay([release("a", 60, run="run-2"), release("a", 60, agreement="other")])
    assert amounts(odometer) == {("ben", "people", "progress"): 60} and odometer.head()["index"] == 1
    odometer.pay([release("a", 60, to=("ben", "cy"))])
    assert amounts(odometer)["cy", "people", "progress"] == 60
    assert amounts(odometer)["ben", "people", "progress"] == 60, "ben had it already"
    odometer.pay([release("a", 70)])
    assert amounts(odometer)["ben", "people", "progress"] == 70, "only what is more is paid"


def test_nothing_is_written_of_what_would_pass_the_limit():
    odometer = Odometer(MemoryStore(), KEYS)
    odometer.pay(
        [release("a", 60, run="run-7"), release("b", 30, run="run-8", purpose="predict"), release("c", 2), release("d", 1)]
    )
    with pytest.raises(Spent) as caught:
        odometer.pay([release("fits", 1, meter="metric"), release("e", 8, run="run-9", purpose="query")])
    text = str(caught.value)
    assert "Meter progress, to ben: 93 of 100 bits are spent; run run-9 (query) wants 8 more." in text
    assert "run run-7 (train): 60; run run-8 (predict): 30; run run-1 (train): 3" in text
    assert "limits.exposure" in text and "The limit is the agreement's." in text
    assert odometer.head()["index"] == 1 and ("ben", "people", "metric") not in amounts(odometer)
    odometer.pay([release("e", 7), release("a", 60)])
    with pytest.raises(Spent):
        odometer.pay([release("e", 5, to=("cy", "dee")), release("f", 96, to=("cy",))])


def test_the_smaller_limit_counts_and_says_whose_it_is():
    odometer = Odometer(MemoryStore(), KEYS, {"progress": 50})
    with pytest.raises(Spent) as caught:
        odometer.pay([release("a", 51, limit=None)])
    assert "odometer.<meter>" in str(caught.value) and "limits.exposure" not in str(caught.value)
    odometer.pay([release("a", 50, limit=None), release("m", 500, limit=None, meter="metric")])
    with pytest.raises(Spent) as caught:
        odometer.pay([release("b", 1, limit=40)])
    assert "limits.exposure" in str(caught.value)


@pytest.mark.parametrize(
    "wrong", [{"meter": "none"}, {"to": ()}, {"to": ("cy", "ben")}, {"amount": -1.0}, {"amount": float("nan")}]
)
def test_a_release_must_make_sense(wrong):
    with pytest.raises(ValueError):
        replace(release(), **wrong)


def test_threads_do_not_pass_a_limit_together(tmp_path):
    refused = []

    def work(number: int) -> None:
        try:
            Odometer(LocalStore(tmp_path), KEYS).pay([release(f"item-{number}", 10)])
        except Spent:
            refused.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 15
    assert amounts(Odometer(LocalStore(tmp_path), KEYS)) == {("ben", "people", "progress"): 100}


def _pay(folder: Path, keys: str, item: str, begin: object, said: object) -> None:
    odometer = Odometer(LocalStore(folder), PartyKeys.from_json(keys))
    odometer.head()
    begin.wait()
    try:
        odometer.pay([release(item, 60)])
        said.put("paid")
    except Spent:
        said.put("refused")


def test_of_two_processes_that_together_pass_a_limit_one_succeeds(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    begin, said = spawn.Event(), spawn.Queue()
    both = [spawn.Process(target=_pay, args=(tmp_path, KEYS.to_json(), item, begin, said)) for item in "ab"]
    for one in both:
        one.start()
    time.sleep(0.1)
    begin.set()
    assert sorted(said.get(timeout=120) for _ in both) == ["paid", "refused"]
    for one in both:
        one.join()


class Slow(MemoryStore):
    """Another process writes just before each of the first writes."""

    others = 3

    def put(self, key: str, data: bytes, permanent: bool = False) -> None:
        if self.others:
            Slow.others, number = self.others - 1, self.others
            Odometer(self, KEYS).pay([release(f"other-{number}", 25)])
        super().put(key, data, permanent)


def test_who_comes_second_reads_on_and_checks_again(monkeypatch):
    monkeypatch.setattr(Slow, "others", 3)
    odometer = Odometer(Slow(), KEYS)
    odometer.pay([release("mine", 25)])
    assert amounts(odometer) == {("ben", "people", "progress"): 100}
    monkeypatch.setattr(Slow, "others", 1)
    odometer = Odometer(Slow(), KEYS)
    with pytest.raises(Spent):
        odometer.pay([release("mine", 80)])


STEP = st.tuples(
    st.sampled_from("abcdefgh"), st.sampled_from(["progress", "metric"]), st.sampled_from([("ben",), ("cy",), ("ben", "cy")])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.lists(STEP, min_size=1, max_size=4), st.booleans()), max_size=12), st.integers(5, 120))
def test_the_total_is_the_sum_of_distinct_items_and_never_passes_the_limit(calls, limit):
    store, paid = MemoryStore(), {}
    odometer = Odometer(store, KEYS)
    for steps, afresh in calls:
        odometer = Odometer(store, KEYS) if afresh else odometer
        releases = [release(item, 3.0 + ord(item) % 7, limit, meter=meter, to=to) for item, meter, to in steps]
        tried = {place: dict(items) for place, items in paid.items()}
        for one in releases:
            for to in one.to:
                tried.setdefault((to, "people", one.meter), {})[one.item] = one.amount
        try:
            odometer.pay(releases)
        except Spent:
            assert max(sum(items.values()) for items in tried.values()) > limit
        else:
            paid = tried
        assert amounts(odometer) == {place: pytest.approx(sum(items.values())) for place, items in paid.items()}
        assert all(amount <= limit for amount in amounts(odometer).values())


# -- damage ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 4])
@pytest.mark.parametrize("at", [5, 60, 500, 2000, -1])
def test_a_changed_byte_refuses_every_release(number, at):
    store = Altered()
    filled(store)
    store.flip(segment(number), at)
    odometer = Odometer(store, KEYS)
    for _ in range(2):
        with pytest.raises(Damaged) as caught:
            odometer.pay([release("more")])
    assert f"Segment {number}" in str(caught.value) and "tombolo odometer rebuild" in str(caught.value)
    assert "ledger/_odometer/segments/000000005" not in store.list()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_missing_segment_refuses_every_release(number):
    store = Altered()
    filled(store).head()
    store.delete(segment(number))
    with pytest.raises(Damaged, match=f"Segment {number} is missing"):
        Odometer(store, KEYS).pay([release("more")])


def test_another_vault_or_a_swapped_segment_is_damage():
    store = Altered()
    filled(store)
    other = PartyKeys("ann", KEYS.signing, KEYS.sealing, Vault.new())
    with pytest.raises(Damaged):
        Odometer(store, other).readings()
    one, two = store.get(segment(1)), store.get(segment(2))
    store.overwrite(segment(1), two)
    store.overwrite(segment(2), one)
    with pytest.raises(Damaged):
        Odometer(store, KEYS).readings()


def test_a_segment_that_is_no_release_is_damage():
    store = MemoryStore()
    odometer = filled(store)
    Chain(store, KEYS, "_odometer").append([Entry.now("query", "run-9", "one", {})])
    for _ in range(2):
        with pytest.raises(Damaged, match="Segment 5"):
            odometer.pay([release("more")])
    assert len(store.list()) == 5


def test_an_older_state_is_seen_by_what_a_block_says():
    store = Altered()
    odometer = filled(store)
    head = odometer.head()
    odometer.require(head, 1, "trial")
    store.delete(segment(4))
    with pytest.raises(Restored, match="names segment 4; the last one here is 3"):
        Odometer(store, KEYS).require(head, 1, "trial")
    Odometer(store, KEYS).pay([release("another")])
    with pytest.raises(Restored, match="another one than block 1"):
        Odometer(store, KEYS).require(head, 1, "trial")


def test_rotated_keys_count_on():
    store = MemoryStore()
    filled(store, 2)
    new = PartyKeys("ann", SigningKey.new(), UnsealKey.new(), KEYS.vault)
    Odometer(store, new).pay([release("more")])
    assert amounts(Odometer(store, new)) == amounts(Odometer(store, KEYS)) == {("ben", "people", "progress"): 30}


def test_objects_are_never_overwritten():
    store = MemoryStore()
    filled(store, 1)
    with pytest.raises(KeyTaken):
        store.put(segment(1), b"")


def test_thousands_of_releases_are_read_in_seconds(tmp_path):
    odometer = Odometer(LocalStore(tmp_path), KEYS)
    for number in range(200):
        odometer.pay([release(f"{number}.{part}", 1, None, to=("ben", "cy")) for part in range(5)])
    begun = time.process_time()
    assert amounts(Odometer(LocalStore(tmp_path), KEYS))["cy", "people", "progress"] == 1000
    assert time.process_time() - begun < 2, "a fifth of what must take less than two seconds on an idle machine"


def test_releases_come_back_from_entries():
    one = release("a", 2.5, None, to=("ben", "cy"))
    assert Release.of(Entry.read(one.entry().line())) == one
