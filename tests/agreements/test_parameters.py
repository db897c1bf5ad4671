"""Parameters and manifests: choices within the agreed ranges, and one manifest whatever the order of joins."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.agreements.manifest import BadManifest, Invitation, Join, Manifest
from tombolo.agreements.parameters import BadParameter, choose, parameters
from tombolo.fl_tasks.learning.parameters import Averaged, BatchedRegression, EncryptedRegression

ALLOWED = parameters(
    {"rounds": {"default": 20, "min": 5, "max": 50}, "l2": {"default": 0.1, "allowed": [0.1, 1.0]}},
    EncryptedRegression,
    "logistic-arbiter",
)
NOW = "2026-01-01T00:00:00+00:00"


@given(st.integers(-10, 100))
def test_a_range_is_kept(rounds):
    if 5 <= rounds <= 50:
        assert choose(ALLOWED, {"rounds": rounds})["rounds"] == rounds
    else:
        with pytest.raises(BadParameter, match="rounds"):
            choose(ALLOWED, {"rounds": rounds})


@given(
    st.dictionaries(st.sampled_from(sorted(ALLOWED)), st.one_of(st.none(), st.text(), st.booleans(), st.floats(), st.integers()))
)
def test_choices_are_complete_or_refused(choices):
    try:
        chosen = choose(ALLOWED, choices)
    except BadParameter:
        return
    assert list(chosen) == sorted(ALLOWED)
    assert choose(ALLOWED, chosen) == chosen


def test_unknown_fixed_and_foreign_parameters():
    for choices in ({"colour": 1}, {"tolerance": 0.5}, {"l2": 0.5}):
        with pytest.raises(BadParameter):
            choose(ALLOWED, choices)
    with pytest.raises(BadParameter, match="batch_rows"):
        parameters({"batch_rows": 100}, EncryptedRegression, "logistic-arbiter")


def test_a_word_is_one_of_those_that_there_are():
    allowed = parameters({"strategy": {"default": "fedprox", "allowed": ["fedavg", "fedprox"]}}, Averaged, "horizontal-mlp")
    assert choose(allowed, {})["strategy"] == "fedprox"
    assert choose(allowed, {"strategy": "fedavg"})["strategy"] == "fedavg"
    for refused in ("fedadam", "FedAvg", 1, None, True):
        with pytest.raises(BadParameter, match="strategy must be one of"):
            choose(allowed, {"strategy": refused})


def test_short_keys_are_refused_outside_the_tests():
    program = (
        "from tombolo.agreements.parameters import parameters\n"
        "from tombolo.fl_tasks.learning.parameters import BatchedRegression\n"
        "parameters({'key_bits': 1024}, BatchedRegression, 'linear')"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    for environment in (
        {**clean, "TOMBOLO_TEST_KEYS": "1"},
        {name: value for name, value in clean.items() if name != "TOMBOLO_TEST_KEYS"},
    ):
        run = subprocess.run(
            [sys.executable, "-c", program], env={**environment, "PYTHONPATH": "."}, capture_output=True, text=True
        )
        assert run.returncode != 0
        assert "TMB-TERMS-002" in run.stderr
    assert parameters({"key_bits": 1024}, BatchedRegression, "linear")["key_bits"].default == 1024


def invitation(**changes) -> Invitation:
    document = {"run": "r", "kind": "train", "agreement": "a", "agreement_digest": "0" * 64, "initiator": "clinic"}
    document |= {"parameters": {"l2": 0.1}, "as_of": NOW, "created": NOW, "expires": NOW, "model": None}
    return Invitation.from_document({**document, **changes})


@given(st.permutations(["a", "b", "c", "d"]))
def test_a_manifest_does_not_depend_on_the_order_of_joins(order):
    invited = invitation()
    joins = {
        name: Join(run="r", party=name, invitation_digest=invited.digest, seal="x", approver="automatic", created=NOW)
        for name in "abcd"
    }
    made = Manifest.build(invited, [joins[name] for name in order])
    assert made.digest == Manifest.build(invited, list(joins.values())).digest
    assert Manifest.from_document(made.document()) == made


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "steal"},
        {"expires": "tomorrow"},
        {"agreement_digest": "zz"},
        {"extra": 1},
        {"run": "x" * 300},
        {"parameters": {"l2": [1]}},
    ],
)
def test_hostile_invitations_are_refused(changes):
    with pytest.raises(BadManifest):
        invitation(**changes)
