"""Terms of boosted trees: what belongs together, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tombolo.agreements.parameters import BadParameter, parameters
from tombolo.agreements.terms import Terms
from tombolo.fl_tasks.learning.parameters import BatchedRegression

TASK = {"protocol": "secureboost", "label": {"column": "y"}}


def terms(task: dict[str, Any] | None = None, roles: tuple[str, ...] = ("guest", "host"), **more: Any) -> Terms:
    parties = {f"party-{index}": {"role": role} for index, role in enumerate(roles)}
    document = {"schema": "tombolo.terms/1", "name": "trees", "parties": parties, "task": TASK | (task or {})}
    return Terms.model_validate({**document, "alignment": {"id": [{"column": "id"}]}, **more})


def test_what_is_not_said_is_explicit_in_the_signed_document():
    document = terms().document()
    assert document["task"]["boosting"]["objective"] == "logistic"
    assert document["task"]["boosting"]["prediction"] == "one-message"
    assert {"depth", "bins", "lambda", "rounds"} <= set(document["task"]["parameters"])
    assert terms().digest == terms({"boosting": {"objective": "logistic"}}).digest
    assert terms().digest != terms({"boosting": {"prediction": "level-wise"}}).digest


@pytest.mark.parametrize("roles", [("guest", "host"), ("guest", "host", "host"), ("guest", "host", "arbiter")])
def test_no_arbiter_is_needed_and_one_may_be(roles):
    assert terms(roles=roles).roles()


@pytest.mark.parametrize(
    ("task", "outcome"),
    [
        ({}, "binary"),
        ({"boosting": {"objective": "squared"}}, "number"),
        ({"boosting": {"objective": "softmax", "classes": 3}}, "classes"),
    ],
)
def test_the_outcome_follows_the_objective(task, outcome):
    assert terms(task).task.outcome == outcome


@pytest.mark.parametrize(
    ("task", "more", "said"),
    [
        ({"boosting": {"objective": "softmax"}}, {}, "three or more"),
        ({"boosting": {"classes": 4}}, {}, "with softmax, and leave it out otherwise"),
        ({"protocol": "linear", "boosting": {}}, {}, "Extra inputs"),
        ({}, {"incentives": {"budget": 100}}, "use volume"),
        ({"parameters": {"l2": 0.1}}, {}, "has no parameter l2"),
    ],
)
def test_what_does_not_fit_is_refused(task, more, said):
    with pytest.raises(ValidationError, match=said):
        terms(task, roles=("guest", "host", "arbiter"), **more)


def test_contributions_by_volume_are_possible():
    assert terms(incentives={"budget": 100, "method": "volume"}).incentives


def test_linear_models_have_no_depth():
    with pytest.raises(BadParameter, match="depth"):
        parameters({"depth": 3}, BatchedRegression, "linear")


def test_alignment_by_kkrt_is_for_two_data_parties():
    assert terms().document()["alignment"]["protocol"] == "auto"
    kkrt = {"alignment": {"id": [{"column": "id"}], "protocol": "kkrt"}}
    assert terms(roles=("guest", "host", "arbiter"), **kkrt).alignment.protocol == "kkrt"
    with pytest.raises(ValidationError, match="kkrt needs exactly two data parties"):
        terms(roles=("guest", "host", "host"), **kkrt)
