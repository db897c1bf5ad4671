"""The engine of the vertical linear family in the terms: where the dealer may be chosen, and what must be signed for it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tombolo.agreements.terms import Terms
from tombolo.fl_tasks.learning.vertical.roles import DEALER_WAIVER

DEALER = {"engine": "dealer", "waivers": [DEALER_WAIVER]}


def terms(protocol: str, **task: Any) -> Terms:
    roles = {"clinic": "guest", "lab": "host", "mill": "host", "notary": "arbiter"}
    document = {
        "schema": "tombolo.terms/1",
        "name": "trial",
        "parties": {party: {"role": role} for party, role in roles.items()},
        "task": {"protocol": protocol, "label": {"column": "y"}, **task},
        "alignment": {"id": [{"column": "id"}]},
    }
    return Terms.model_validate(document)


@pytest.mark.parametrize("protocol", ["linear", "logistic-taylor", "logistic-arbiter"])
def test_the_dealer_is_for_protocols_with_an_arbiter(protocol):
    made = terms(protocol, **DEALER)
    assert set(made.choose({})) == {"rounds", "l2", "tolerance", "test_fraction"}
    assert made.document()["task"]["engine"] == "dealer"


def test_the_dealer_is_for_networks_with_an_arbiter():
    made = terms("vertical-mlp", **DEALER)
    assert set(made.choose({})) == {"rounds", "batch_rows", "step", "momentum", "test_fraction"}
    with pytest.raises(ValueError, match="dealer needs an arbiter"):
        made.task.require_composition(["guest", "host", "host"])


@pytest.mark.parametrize("protocol", ["linear", "logistic-guest", "secureboost", "vertical-mlp"])
def test_ciphertexts_are_what_is_meant_without_an_engine(protocol):
    made = terms(protocol)
    assert made.document()["task"]["engine"] == "paillier"
    assert made.digest == terms(protocol, engine="paillier").digest == terms(protocol, engine=None).digest


def test_the_engine_is_signed():
    waived = {"waivers": [DEALER_WAIVER]}
    assert terms("linear", **waived).digest != terms("linear", engine="dealer", **waived).digest


@pytest.mark.parametrize(
    ("protocol", "task", "said"),
    [
        ("linear", {"engine": "dealer"}, f"engine: with dealer.*sign the waiver {DEALER_WAIVER}"),
        ("logistic-guest", DEALER, "engine: logistic-guest has no dealer; choose paillier"),
        ("secureboost", DEALER, "engine: secureboost has no dealer; choose paillier"),
        ("linear", {"engine": "spdz"}, "engine: linear has no spdz; choose paillier, dealer"),
        ("linear", {**DEALER, "parameters": {"key_bits": 2048}}, "linear with engine dealer has no parameter key_bits"),
        ("linear", {**DEALER, "parameters": {"batch_rows": 500}}, "linear with engine dealer has no parameter batch_rows"),
        ("vertical-mlp", {"engine": "dealer"}, f"engine: with dealer.*sign the waiver {DEALER_WAIVER}"),
        ("vertical-mlp", {**DEALER, "parameters": {"key_bits": 2048}}, "vertical-mlp with engine dealer has no parameter key_bits"),
        (
            "horizontal-linear",
            {"engine": "paillier", "horizontal": {"features": {"a": {}}}},
            "engine: horizontal-linear has no engines",
        ),
    ],
)
def test_what_does_not_fit_is_refused(protocol, task, said):
    with pytest.raises(ValidationError, match=said):
        terms(protocol, **task)
