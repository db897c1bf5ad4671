"""What the record tells of a run, in sums and words."""

from __future__ import annotations

import pytest

from tests.fl_tasks.ledger.audit.settled import flipped, path_of, settled, source
from tombolo.fl_tasks.ledger.audit.history import NoSuchRun, chain_of, histories, history, plainly, shares
from tombolo.fl_tasks.runtime.record import enter

BLOCK = {
    "facts": {
        "contributions": {"players": ["lab"], "shapley": {"lab": 0.25}, "leave_one_out": None, "volume": {"lab": 1.0}},
        "rewards": {"budget": 150000, "currency": "EUR", "refunds": {"notary": 50000}, "rewards": {"lab": 100001}},
    }
}


@pytest.fixture(scope="module")
def fed(tmp_path_factory):
    return settled(tmp_path_factory.mktemp("history"))


def test_sums_are_those_of_the_books(fed):
    found, unread = history(source(fed, "clinic"), "run-1")
    assert not unread
    for book in ("sent", "received"):
        entries = fed.context("clinic").books("run-1").entries(book)
        assert (found.total(book).count, found.total(book).bytes) == (len(entries), sum(entry.size for entry in entries))
        for peer in ("lab", "notary"):
            sizes = [entry.size for entry in entries if entry.peer == peer]
            assert (found.total(book, peer).count, found.total(book, peer).bytes) == (len(sizes), sum(sizes))
    assert found.kind == "train"
    assert found.state == "settled in block 1"
    assert found.signers == ["clinic", "lab", "notary"]


def test_runs_in_their_order_and_blocks_in_theirs(fed):
    found, _ = histories(source(fed, "lab"))
    assert list(found) == ["run-1", "run-2"]
    heights = chain_of(found)
    assert [height for height, _, _ in heights] == [1, 2]
    assert heights[1][2].block["previous"] == heights[0][1]
    with pytest.raises(NoSuchRun):
        history(source(fed, "lab"), "run-3")


def test_what_cannot_be_read_is_named_and_hides_nothing_else(fed):
    for key in ("ledger/trial/segments/000000001", "ledger/trial/blocks/000000001"):
        with flipped(path_of(fed, "lab", key), -1):
            found, unread = histories(source(fed, "lab"))
            assert unread == [key]
            assert found["run-2"].state == "settled in block 2"


def test_states(tmp_path):
    fed = settled(tmp_path, runs=0)
    fed.start()
    assert history(source(fed, "lab"), "run-1")[0].state == "not settled"
    enter(fed.context("lab"), "run-1", "abort", "lab", code="TMB-RUN-002", step=None)
    assert history(source(fed, "lab"), "run-1")[0].state == "aborted (TMB-RUN-002)"


def test_shares():
    assert shares(BLOCK) == [
        ("lab", {"shapley": 0.25, "volume": 1.0}, "1,000.01 EUR"),
        ("notary", {}, "500.00 EUR"),
    ]
    assert shares({"facts": {"metrics": {}, "contributions": None, "rewards": None}}) == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"rows": 3, "loss": 0.123456789, "ok": True, "none": None}, "rows 3, loss 0.123457, ok yes, none none"),
        (["a", {"b": 1}], "a, b 1"),
        ("0f" * 32, "0f0f0f0f0f0f0f0f…"),
        ("x" * 64, "x" * 64),
        ({}, "none"),
    ],
)
def test_plain_words(value, words):
    assert plainly(value) == words
