"""Two data parties: whichever protocol they use, both find the same rows; and which one they use both see in the sizes."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.federation import Federation, federation
from tombolo.fl_tasks.alignment import kkrt, pair, two_party
from tombolo.fl_tasks.alignment.kkrt import ids as kkrt_ids
from tombolo.fl_tasks.alignment.kkrt import receiver
from tombolo.fl_tasks.alignment.kkrt.ids import part_bound
from tombolo.fl_tasks.alignment.messages import MESSAGES
from tombolo.fl_tasks.runtime.session import Session

STUB = pa.table({"id": ["a"]})
RUNS = iter(range(10**6))


def layout(tmp_path, protocol: str) -> Federation:
    alignment = {"id": [{"column": "id"}], "protocol": protocol}
    return federation(tmp_path / protocol, {"clinic": STUB, "lab": STUB}, alignment=alignment)


def intersect(fed: Federation, ids: dict[str, list[str]]) -> tuple[list[str], str]:
    """The common ids in the order that both found, which must be one, and the run."""
    run = fed.start(f"run-{next(RUNS)}")
    data = lambda session: pair.common_rows(session, ids[session.me], 0)  # noqa: E731
    rows = fed.roles(run, MESSAGES, "align", {"guest": data, "host": data, "arbiter": lambda session: None})
    clinic, lab = ([ids[party][at] for at in rows[party]] for party in ("clinic", "lab"))
    assert clinic == lab
    return clinic, run


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> dict[str, Federation]:
    folder = tmp_path_factory.mktemp("pair")
    return {protocol: layout(folder, protocol) for protocol in ("ring", "kkrt")}


@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 300), st.integers(0, 300), st.floats(0, 1), st.randoms(use_true_random=False))
@example(0, 0, 0.0, random.Random(1))
@example(0, 5, 0.0, random.Random(2))
@example(1, 1, 1.0, random.Random(3))
@example(1, 1, 0.0, random.Random(4))
@example(1, 200, 1.0, random.Random(5))
@example(100, 100, 1.0, random.Random(6))
@example(100, 100, 0.0, random.Random(7))
def test_both_protocols_find_what_is_common(both, left, right, part, rng):
    common = round(part * min(left, right))
    ids = {
        "clinic": [f"id {number}" for number in range(left)],
        "lab": [f"id {number}" for number in range(left - common, left - common + right)],
    }
    for listed in ids.values():
        rng.shuffle(listed)
    found = {protocol: intersect(fed, ids)[0] for protocol, fed in both.items()}
    assert len(found["kkrt"]) == len(set(found["kkrt"])) == common
    assert set(found["kkrt"]) == set(found["ring"]) == set(ids["clinic"]) & set(ids["lab"])


@pytest.mark.parametrize("smaller", ["clinic", "lab"])
def test_lists_of_several_parts(tmp_path, monkeypatch, smaller):
    """In parts of a thousand ids, either party being the larger: the parts' sizes are equal, and larger than what is in them."""
    monkeypatch.setattr(kkrt_ids, "_PART", 1000)
    larger = "lab" if smaller == "clinic" else "clinic"
    ids = {smaller: [f"{number}@mail" for number in range(2500)], larger: [f"{number}@mail" for number in range(900, 5100)]}
    fed = layout(tmp_path, "kkrt")
    found, run = intersect(fed, ids)
    assert set(found) == set(ids[smaller]) & set(ids[larger])
    for party, message, bound in ((smaller, "code_matrix", 1 << 14), (larger, "id_tags", part_bound(4200, 5))):
        rows = [entry.rows for entry in fed.context(party).books(run).entries("sent") if entry.message == message]
        assert rows == [bound] * 5


@pytest.mark.parametrize(("larger", "chosen"), [(29, two_party), (30, kkrt)])
def test_auto_is_kkrt_from_so_many_ids_of_the_larger_list(tmp_path, monkeypatch, larger, chosen):
    monkeypatch.setattr(pair, "_LARGE", 30)
    used = []
    for protocol in (two_party, kkrt):
        real = protocol.common_rows
        monkeypatch.setattr(protocol, "common_rows", lambda *words, p=protocol, r=real: used.append(p) or r(*words))
    ids = {"clinic": [str(number) for number in range(3)], "lab": [str(number) for number in range(larger)]}
    assert len(intersect(layout(tmp_path, "auto"), ids)[0]) == 3
    assert used == [chosen, chosen]


def test_a_seed_that_places_not_everybody_is_never_sent(tmp_path, monkeypatch):
    seeds, sent = [], []
    real, send = receiver.bins_of, Session.send

    def bins_of(blocks, seed, bins):
        seeds.append(seed)
        return real(blocks, seed, bins) % (bins if len(seeds) == 3 else 5)  # ten ids in five bins, twice

    def noted(self, name, to=None, /, **columns):
        sent.extend([columns["seed"]] if name == "base_reply" else [])
        send(self, name, to, **columns)

    monkeypatch.setattr(receiver, "bins_of", bins_of)
    monkeypatch.setattr(Session, "send", noted)
    ids = {"clinic": [str(number) for number in range(10)], "lab": [str(number) for number in range(5, 25)]}
    assert len(intersect(layout(tmp_path, "kkrt"), ids)[0]) == 5
    assert len(set(seeds)) == 3
    assert sent == seeds[2:]
