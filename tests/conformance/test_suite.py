"""The suite itself: its checks can fail, it says where a case is missing, and one call is enough for a protocol from elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.conformance import checks
from tests.conformance.cases import Hint, NoCase, case_of
from tests.conformance.checks import Played, conform, play
from tests.conformance.test_declared import PROTOCOLS

NETWORK = PROTOCOLS["vertical-mlp"]
ALONE = replace(NETWORK, engines={"split": NETWORK.engines["split"]})
"""The cheapest to run."""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(case_of(ALONE, "split"), tmp_path_factory.mktemp("split"))


def test_one_call_checks_all_engines(tmp_path: Path) -> None:
    conform(ALONE, tmp_path)


def test_a_protocol_without_a_case_is_named(tmp_path: Path) -> None:
    other = replace(PROTOCOLS["lending-query"], name="other")
    with pytest.raises(NoCase, match="other does not train"):
        case_of(other, None).lay_out(tmp_path)
    given = Hint(steps=case_of(PROTOCOLS["lending-query"], None).steps)
    with pytest.raises(NoCase, match="which tables"):
        case_of(other, None, given).lay_out(tmp_path)


def test_messages_that_are_not_sent_are_found(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "UNSENT", {})
    with pytest.raises(AssertionError, match="masked_sums"):
        checks.sends_what_it_declares(played)


@pytest.mark.parametrize("check", [checks.replays_from_every_checkpoint, checks.survives_kills])
def test_another_model_is_found(played: Played, check) -> None:
    other = replace(played, outcomes=[{**played.outcomes[0], "guest": b"another"}, *played.outcomes[1:]])
    with pytest.raises(AssertionError):
        check(other)


def test_another_score_is_found(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    held_out = {party: scores + 1e-3 for party, scores in checks._held_out(played).items()}
    monkeypatch.setattr(checks, "_held_out", lambda _: held_out)
    with pytest.raises(AssertionError, match="off"):
        checks.equals_its_reference(played)


def test_values_that_are_not_refused_are_found(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "ACCEPTED", {})
    with pytest.raises(AssertionError, match=r"metrics\.value/huge: guest to host: accepted"):
        checks.refuses_hostile_values(played)
