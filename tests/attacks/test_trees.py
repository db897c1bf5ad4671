"""Attacks on boosted trees: hosts that lie about sums or rows, guests that ask for single people, and what travels."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.federation import FOREVER, quiet
from tests.fl_tasks.protocols.secureboost.parties import blocks, layout, sample, train
from tests.fl_tasks.workflow.test_boosted import boosted
from tombolo.fl_tasks.crypto.errors import MalformedPacking
from tombolo.fl_tasks.crypto.vector import CipherVector, decrypt
from tombolo.fl_tasks.learning.vertical.key_holder import WrongLength, own_key
from tombolo.fl_tasks.learning.vertical.scoring import WrongScoreCount
from tombolo.fl_tasks.protocols.secureboost import programs as secureboost
from tombolo.fl_tasks.protocols.secureboost.messages import (
    ForeignChoice,
    ForeignFeatures,
    ForeignRoute,
    ForeignRows,
    HostTotalsDiffer,
    NodeTooSmall,
)
from tombolo.fl_tasks.protocols.secureboost.scoring import ForeignVisit
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.train import train as train_stage
from tombolo.fl_tasks.workflow.validate import validate
from tombolo.storage.schema import ForeignNumber, ForeignSchema

guest_module, host_module = (import_module(f"tombolo.fl_tasks.protocols.secureboost.{role}") for role in ("guest", "host"))


def guests_column_first(rows: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """Codes whose first column, the guest's, says most, so that the root is the guest's; hosts' columns come next."""
    codes, _ = sample(rows, columns=4)
    return codes, ((codes[:, 0] > 4) ^ ((codes[:, 2] > 5) & (codes[:, 1] > 3))).astype(float)


def hosts_column_first(rows: int = 160) -> tuple[np.ndarray, np.ndarray]:
    codes, y = guests_column_first(rows)
    return codes[:, [2, 3, 0, 1]], y


def tampering(monkeypatch: pytest.MonkeyPatch, sender: str, message: str, change: Any) -> None:
    """``change(columns)`` is applied to what ``sender`` sends as ``message``."""
    real = Session.send

    def send(self: Session, name: str, to: Any = None, /, **columns: Any) -> None:
        real(self, name, to, **(change(columns) if self.me == sender and name == message else columns))

    monkeypatch.setattr(Session, "send", send)


def three_classes(rows: int = 160) -> tuple[np.ndarray, np.ndarray]:
    return sample(rows, columns=4, outputs=3)


def trained(tmp_path: Any, example: Any, hosts: int = 1, **parameters: Any) -> None:
    boosting = {"objective": "softmax", "classes": 3} if example is three_classes else None
    fed = layout(tmp_path, hosts, boosting, parameters.pop("leaf_rows", 4), **parameters)
    fed.start(rounds=1)
    train(fed, blocks(fed, *example()))


@pytest.mark.parametrize("example", [guests_column_first, three_classes])
def test_untouched_messages_are_accepted(tmp_path, example):
    trained(tmp_path, example)


@pytest.mark.parametrize("example", [guests_column_first, three_classes])
@pytest.mark.parametrize("below", [False, True])
def test_a_host_that_leaves_a_row_out_is_refused(tmp_path, monkeypatch, example, below):
    real, passes = host_module.grouped_bin_sums, []

    def lacking(groups: Any, *more: Any) -> Any:
        passes.append(groups)
        return real([(b[1:], v[1:]) for b, v in groups] if len(passes) > below else groups, *more)

    monkeypatch.setattr(host_module, "grouped_bin_sums", lacking)
    with pytest.raises(HostTotalsDiffer, match="lab"):
        trained(tmp_path, example)
    assert len(passes) == 1 + below


@pytest.mark.parametrize("rows", [slice(1, None), slice(0, 0)])
def test_a_guest_that_sends_other_rows_below_the_roots_is_refused(tmp_path, monkeypatch, rows):
    tampering(monkeypatch, "clinic", "class_gradients", lambda columns: {"pair": columns["pair"][rows]})
    with pytest.raises(WrongLength, match="clinic"):
        trained(tmp_path, three_classes)


def test_sums_of_other_classes_than_the_trees_are_refused(tmp_path, monkeypatch):
    """Below the roots a plaintext has room for one class only; stacked sums, which would tell of others, do not pass for it."""

    def stacked(self: Any, grown: Any, fresh: Any) -> Any:
        self._receive_missing(grown, fresh)
        groups = [(self._codes(grown, grown.nodes[one].counting), grown.nodes[one].counting) for one in fresh]
        sums = host_module.grouped_bin_sums(
            [(codes, grown.stacked[0].take(rows)) for codes, rows in groups], self._sizes(grown.columns), None
        )
        return [(CipherVector.concatenate(sums), 1)]

    monkeypatch.setattr(host_module.Host, "_sums", stacked)
    with pytest.raises(MalformedPacking, match="lab"):
        trained(tmp_path, three_classes)


def test_a_guest_that_repeats_other_rows_for_other_classes_is_refused(tmp_path, monkeypatch):
    """15 classes are two ciphertexts a row, about the same rows."""

    def turned(columns: dict[str, Any]) -> dict[str, Any]:
        return {**columns, "row": np.concatenate([columns["row"][:160], columns["row"][160:][::-1]])}

    tampering(monkeypatch, "clinic", "gradients", turned)
    fed = layout(tmp_path, 1, {"objective": "softmax", "classes": 15}, 1)
    fed.start(rounds=1)
    with pytest.raises(ForeignRows, match="clinic"):
        train(fed, blocks(fed, *sample(outputs=15)))


def test_a_host_with_other_bins_than_declared_is_refused(tmp_path, monkeypatch):
    tampering(monkeypatch, "lab", "features", lambda columns: {**columns, "bins": columns["bins"] + 100})
    with pytest.raises(ForeignFeatures, match="lab"):
        trained(tmp_path, guests_column_first)


@pytest.mark.parametrize(
    "change",
    [
        lambda left: left + b"\x00",  # rows that the node does not have
        lambda left: left[:-1],
        lambda left: bytes([left[0] ^ 0x80]) + left[1:],  # another side for one row
        lambda left: bytes(byte ^ 0xFF for byte in left),
    ],
)
def test_a_split_reply_about_other_rows_is_refused(tmp_path, monkeypatch, change):
    tampering(monkeypatch, "lab", "route", lambda columns: {**columns, "left": [change(left) for left in columns["left"]]})
    with pytest.raises((ForeignRoute, ForeignSchema), match="lab"):
        trained(tmp_path, hosts_column_first)


def test_a_split_reply_by_another_column_is_refused(tmp_path, monkeypatch):
    tampering(monkeypatch, "lab", "route", lambda columns: {**columns, "column": [one + 1 for one in columns["column"]]})
    with pytest.raises(ForeignRoute, match="lab"):
        trained(tmp_path, hosts_column_first)


def single(columns: dict[str, Any]) -> dict[str, Any]:
    """A partition that puts one row of each node aside."""
    return {**columns, "left": [b"\x80" + bytes(len(left) - 1) for left in columns["left"]]}


def test_a_guest_that_asks_for_a_single_row_is_refused(tmp_path, monkeypatch):
    tampering(monkeypatch, "clinic", "partition", single)
    with pytest.raises(NodeTooSmall, match="clinic"):
        trained(tmp_path, guests_column_first)


def test_a_guest_that_alters_what_the_host_answered_is_refused(tmp_path, monkeypatch):
    tampering(monkeypatch, "clinic", "partition", single)
    with pytest.raises(ForeignChoice, match="clinic"):
        trained(tmp_path, hosts_column_first)


def test_a_guest_that_begins_with_too_few_rows_is_refused(tmp_path, monkeypatch):
    """An honest guest knows beforehand that such a tree cannot be split, and sends nothing."""
    few = layout(tmp_path, hosts=1, leaf_rows=50)
    dealt = blocks(few, *guests_column_first(40))
    few.start(rounds=1)
    train(few, dealt)
    monkeypatch.setattr(guest_module, "growing", lambda *_: [0])
    few.start("run-2", rounds=1)
    with pytest.raises(NodeTooSmall, match="clinic"):
        train(few, dealt, "run-2")


def test_a_guest_that_asks_for_a_cut_with_few_rows_beyond_it_is_refused(tmp_path, monkeypatch):
    tampering(monkeypatch, "clinic", "choice", lambda columns: {**columns, "cut": [0 for _ in columns["cut"]]})
    with pytest.raises(NodeTooSmall, match="clinic"):
        trained(tmp_path, hosts_column_first)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"column": 77}, ForeignChoice),
        ({"column": -1}, ForeignNumber),
        ({"cut": 99}, ForeignChoice),
        ({"cut": -1}, ForeignNumber),
        ({"node": 12}, ForeignChoice),
    ],
)
def test_a_guest_that_asks_for_what_is_not_there_is_refused(tmp_path, monkeypatch, change, error):
    def changed(columns: dict[str, Any]) -> dict[str, Any]:
        return {**columns, **{name: [value for _ in columns[name]] for name, value in change.items()}}

    tampering(monkeypatch, "clinic", "choice", changed)
    with pytest.raises(error, match="clinic"):
        trained(tmp_path, hosts_column_first)


@pytest.mark.parametrize("kept", [slice(1, None), slice(0, 1), slice(None, None, -1)])
@pytest.mark.parametrize("example", [guests_column_first, three_classes])
def test_a_guest_that_picks_rows_is_refused(tmp_path, monkeypatch, kept, example):
    def fewer(columns: dict[str, Any]) -> dict[str, Any]:
        rows = np.arange(len(columns["row"]))[kept]
        return {"row": columns["row"][rows], "pair": columns["pair"].take(pa.array(rows))}

    tampering(monkeypatch, "clinic", "gradients", fewer)
    with pytest.raises(ForeignRows, match="clinic"):
        trained(tmp_path, example)


def test_goss_may_pick_rows_but_not_how_many(tmp_path, monkeypatch):
    def fewer(columns: dict[str, Any]) -> dict[str, Any]:
        return {"row": columns["row"][1:], "pair": columns["pair"][1:]}

    tampering(monkeypatch, "clinic", "gradients", fewer)
    with pytest.raises(ForeignRows, match="clinic"):
        trained(tmp_path, guests_column_first, goss_top=0.3)


@pytest.mark.parametrize("example", [guests_column_first, three_classes])
def test_histograms_are_unlinkable_for_the_key_holder(tmp_path, monkeypatch, example):
    """What is sent decrypts as the products do, in ciphertexts of their own, which never repeat."""
    made, sent = [], []
    real = host_module.compress

    def compress(*words: Any) -> CipherVector:
        made.append(real(*words))
        return made[-1]

    monkeypatch.setattr(host_module, "compress", compress)

    def seen(columns: dict[str, Any]) -> dict[str, Any]:
        sent.append(columns["sums"])
        return columns

    tampering(monkeypatch, "lab", "histogram", seen)
    fed = layout(tmp_path, 1, {"objective": "softmax", "classes": 3} if example is three_classes else None)
    run = fed.start(rounds=2)
    train(fed, blocks(fed, *example()))
    with fed.context("clinic").session(run, secureboost.MESSAGES, "train", FOREVER, quiet) as session:
        key = own_key(session)
    assert len(made) == len(sent) >= 4
    everything = [value for array in sent for value in array.to_pylist()]
    assert len(set(everything)) == len(everything)
    for plain, array in zip(made, sent, strict=True):
        fresh = CipherVector.from_arrow(key.public, array)
        assert not set(plain.to_arrow().to_pylist()) & set(array.to_pylist())
        assert decrypt(key, fresh) == decrypt(key, plain)


def test_aliases_differ_between_runs(tmp_path):
    orders = []
    fed = layout(tmp_path, hosts=1)
    codes, y = sample(columns=16)
    codes = np.random.default_rng(3).integers(1, np.tile(np.arange(3, 11), 2), codes.shape).astype(np.uint8)  # no two alike
    for run in ("run-1", "run-2"):
        fed.start(run, rounds=1)
        dealt = blocks(fed, codes, y)
        train(fed, dealt, run)
        with fed.context("clinic").session(run, secureboost.MESSAGES, "train", FOREVER, quiet) as session:
            session.within(None)
            orders.append(session.values(session.receive("features", "lab"), "bins").to_pylist())
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(2, 10)) and orders[0] != orders[1]


LIES = {
    "other splits": ("clinic", "visit", lambda c: {**c, "record": [one + 1000 for one in c["record"]]}),
    "other rows": ("clinic", "visit", lambda c: {**c, "rows": [one + b"\x01" for one in c["rows"]]}),
    "more answers": ("lab", "turned", lambda c: {**c, "left": [one + b"\x00" for one in c["left"]]}),
    "answers about others": ("lab", "turned", lambda c: {**c, "record": [one + 1 for one in c["record"]]}),
}


@pytest.mark.parametrize("lie", sorted(LIES))
def test_scoring_is_about_splits_and_rows_that_exist(tmp_path, monkeypatch, lie):
    fed = boosted(tmp_path, prediction="level-wise")
    fed.start()
    for stage in (validate, align, train_stage):
        fed.stage(stage, "run-1")
    tampering(monkeypatch, *LIES[lie])
    refusal = ForeignVisit if LIES[lie][0] == "clinic" else WrongScoreCount
    with pytest.raises((refusal, ForeignSchema), match=LIES[lie][0]):
        fed.stage(evaluate, "run-1")
