"""Contributions where something is interrupted or a party sends what cannot be: the same facts, or a coded error and no block."""

from __future__ import annotations

import numpy as np
import pytest

from tests.federation import Federation, quiet
from tests.fl_tasks.incentives.evaluated import evaluated
from tombolo.fl_tasks.incentives import coalitions
from tombolo.fl_tasks.incentives.coalitions import BadVolume, ForeignValues, OtherQuality
from tombolo.fl_tasks.learning.vertical.scoring import ScoreOutOfRange, WrongScoreCount
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.runtime.waiting import Wait, Waiting
from tombolo.fl_tasks.workflow.settle import settle
from tombolo.storage.ledger.block import FactsDiffer
from tombolo.storage.schema import ForeignNumber

MEAN = {"budget": 10_001, "refunds": {"notary": 500}}
SHARES, VALUES = "coalition_shares", "coalition_values"


@pytest.mark.parametrize("absent", ["mean", "retrain"])
def test_stopped_at_every_wait(tmp_path, absent):
    made = evaluated(tmp_path, {**MEAN, "absent": absent}, protocol="linear", rounds=2)
    results, stops = {}, 0
    while len(results) < len(made.parties):
        assert stops < 400
        for party in [one for one in made.parties if one not in results]:
            try:
                results[party] = settle(made.context(party), "run-1", Wait(0), progress=quiet)
            except Waiting:
                stops += 1
    facts = list(results.values())
    assert stops > 10 and all(one["contributions"] == facts[0]["contributions"] for one in facts)
    assert {one["unmatched"] for one in facts} == {0} and facts[0]["contributions"]["shapley"] is not None


def refused(made: Federation, error: type[Exception], culprit: str) -> None:
    with pytest.raises(error) as caught:
        made.stage(settle, "run-1")
    assert caught.value.party == culprit
    assert all(made.context(party).blocks.get(1) is None for party in made.parties)


def forge(monkeypatch, message: str, sender: str, change) -> None:
    """A party that sends something else than it should."""
    real = Session.send

    def send(self, name, to=None, /, **columns):
        real(self, name, to, **(change(columns) if name == message and self.me == sender else columns))

    monkeypatch.setattr(Session, "send", send)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda sent: {**sent, "value": [float("nan"), *sent["value"][1:]]}, ForeignNumber),
        (lambda sent: {**sent, "value": [*sent["value"][:-1], 1.5]}, ForeignValues),
        (lambda sent: {**sent, "value": [-0.2, *sent["value"][1:]]}, ForeignValues),
        (lambda sent: {**sent, "coalition": sent["coalition"][::-1]}, ForeignValues),
        (lambda sent: {name: column[:-1] for name, column in sent.items()}, ForeignValues),
        (lambda sent: {**sent, "value": [*sent["value"][:-1], sent["value"][-1] - 0.2]}, OtherQuality),
    ],
    ids=["nan", "above", "below", "others", "fewer", "another-quality"],
)
def test_forged_values_are_refused(tmp_path, monkeypatch, change, error):
    made = evaluated(tmp_path, MEAN, rounds=2)
    forge(monkeypatch, VALUES, "notary", change)
    refused(made, error, "notary")


def test_other_values_for_one_party_end_in_no_block(tmp_path, monkeypatch):
    """Three parties must all attest the same; from four up the others' quorum would go on with what they heard."""
    made = evaluated(tmp_path, MEAN, {"clinic": 2, "lab": 3}, rounds=2)
    real = Session.send

    def send(self, name, to=None, /, **columns):
        if name != VALUES:
            return real(self, name, to, **columns)
        real(self, name, "clinic", **columns)
        real(self, name, "lab", **{**columns, "value": [0.5, 0.6, *columns["value"][2:]]})

    monkeypatch.setattr(Session, "send", send)
    with pytest.raises(FactsDiffer):
        made.stage(settle, "run-1")
    assert all(made.context(party).blocks.get(1) is None for party in made.parties)


@pytest.mark.parametrize("columns", [0, 1 << 40])
def test_an_absurd_volume_is_refused(tmp_path, monkeypatch, columns):
    made = evaluated(tmp_path, MEAN, rounds=2)
    forge(monkeypatch, "volume", "lab", lambda sent: {"columns": columns})
    refused(made, BadVolume, "lab")


def test_shares_of_other_rows_are_refused(tmp_path, monkeypatch):
    made = evaluated(tmp_path, MEAN, rounds=2)
    forge(monkeypatch, SHARES, "bank", lambda sent: {name: column[:-1] for name, column in sent.items()})
    refused(made, WrongScoreCount, "bank")


def test_scores_that_do_not_fit_are_refused_before_anything_leaves(tmp_path, monkeypatch):
    made = evaluated(tmp_path, MEAN, rounds=2)
    real = coalitions._send_shares

    def wild(session, game, scores_of, labels):
        real(session, game, (lambda one: scores_of(one) * np.nan) if session.me == "lab" else scores_of, labels)

    monkeypatch.setattr(coalitions, "_send_shares", wild)
    refused(made, ScoreOutOfRange, "lab")
