"""Terms of horizontal agreements: what belongs together, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tombolo.agreements.terms import Terms
from tombolo.fl_tasks.learning.terms import PrivacyTerms

CENTRE = ("aggregator",)


def terms(clients: int = 4, others: tuple[str, ...] = CENTRE, horizontal: dict[str, Any] | None = None, **more: Any) -> Terms:
    roles = [*["client"] * clients, *others]
    task = {
        "protocol": "horizontal-logistic",
        "label": {"column": "y"},
        "horizontal": {"features": {"a": {}}, **(horizontal or {})},
    }
    task |= more.pop("task", {})
    document = {
        "schema": "tombolo.terms/1",
        "name": "sites",
        "parties": {f"party-{index}": {"role": role} for index, role in enumerate(roles)},
        "task": task,
        "alignment": {"id": [{"column": "id"}]},
    }
    return Terms.model_validate({**document, **more})


@pytest.mark.parametrize(("clients", "least"), [(3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (9, 7)])
def test_the_least_threshold_is_just_above_two_thirds(clients, least):
    horizontal = terms(clients).task.horizontal_terms
    assert horizontal.threshold_of(clients) == least
    assert terms(clients, horizontal={"threshold": least}).roles()
    for refused in (least - 1, clients + 1):
        with pytest.raises(ValidationError, match="threshold"):
            terms(clients, horizontal={"threshold": refused})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"clients": 2}, "at least three clients"),
        ({"others": ()}, "exactly one aggregator"),
        ({"others": ("aggregator", "aggregator")}, "exactly one aggregator"),
        ({"others": ("aggregator", "arbiter")}, "nobody else"),
        ({"task": {"horizontal": None}}, "Field required"),
        ({"task": {"protocol": "linear"}}, "Extra inputs"),
        ({"task": {"label": {"column": "a"}}}, "leave out the label"),
        ({"task": {"parameters": {"key_bits": 2048}}}, "has no parameter key_bits"),
        ({"horizontal": {"features": {}}}, "features"),
        ({"horizontal": {"features": {"a": {"missing": "level"}}}}, "only with trees"),
        ({"horizontal": {"features": {"a": {"range": [1, 1]}}}}, "lower end first"),
        ({"horizontal": {"features": {"a": {"range": [0, 1], "levels": ["x"]}}}}, "has no range"),
        ({"task": {"boosting": {}}}, "Extra inputs"),
        ({"task": {"protocol": "horizontal-trees", "boosting": {"weight": "w"}}}, "says objective and classes"),
        ({"task": {"protocol": "horizontal-trees", "parameters": {"subsample": 0.5}}}, "has no parameter subsample"),
        ({"horizontal": {"features": {"a": {"levels": ["x", "x"]}}}}, "each level once"),
        ({"horizontal": {"step_seconds": 3600}}, "less than deadlines.message"),
        ({"tables": {"party-0": {}}}, "tables: remove it"),
        ({"scores": ["party-4"]}, "holds no data"),
        ({"incentives": {"budget": 100}}, "use volume"),
        ({"incentives": {"budget": 100, "method": "volume", "live": {"budget": 1}}}, "incentives.live"),
        ({"incentives": {"budget": 100, "method": "volume", "metric": "rmse"}}, "rmse does not fit"),
        ({"horizontal": {"absence": "late"}}, "absence"),
        ({"task": {"network": {}}}, "Extra inputs"),
        ({"task": {"privacy": {"delta": 1e-5, "noise": 1}}}, "Extra inputs"),
        ({"horizontal": {"features": {"a": {"range": [0, 1]}}}}, "remove range"),
    ],
)
def test_what_does_not_fit_is_refused(given, said):
    with pytest.raises(ValidationError, match=said):
        terms(**given)


PRIVATE = {"privacy": {"delta": 1e-5, "epsilon": 3}}


def network(**more: Any) -> Terms:
    return terms(
        task={"protocol": "horizontal-mlp", **more}, horizontal={"features": {"a": {"range": [0, 1]}, "b": {"levels": ["x"]}}}
    )


def test_what_a_network_predicts():
    assert terms(task={"protocol": "horizontal-mlp"}).task.outcome == "binary"
    task = terms(task={"protocol": "horizontal-mlp", "network": {"outcome": "classes", "classes": 10, "hidden": [8, 4]}}).task
    assert (task.outcome, task.classes) == ("classes", 10)
    assert network(**PRIVATE).task.section(PrivacyTerms).clip == 1.0
    assert network(**PRIVATE, network={"outcome": "number"}, label={"column": "y", "range": [0, 9]}).task.outcome == "number"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"network": {"outcome": "classes"}}, "three or more"),
        ({"network": {"classes": 5}}, "three or more"),
        ({"network": {"hidden": []}}, "hidden"),
        ({"network": {"hidden": [5000]}}, "hidden"),
        ({"network": {"activation": "sine"}}, "activation"),
        ({"parameters": {"strategy": "fedsgd"}}, "must be one of fedavg"),
        ({"parameters": {"strategy": {"default": "fedavg", "min": 0, "max": 1}}}, "must be one of fedavg"),
        ({"parameters": {"tolerance": 0.1}}, "has no parameter tolerance"),
        ({}, "remove range"),
        ({"privacy": {"delta": 1e-5}}, "either epsilon or noise"),
        ({"privacy": {"delta": 1e-5, "epsilon": 1, "noise": 1}}, "either epsilon or noise"),
        ({"privacy": {"delta": 0, "epsilon": 1}}, "delta"),
        ({**PRIVATE, "network": {"outcome": "number"}}, "give a range for label"),
        ({**PRIVATE, "parameters": {"patience": 3}}, "patience"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(given, said):
    with pytest.raises(ValidationError, match=said):
        network(**given)


def test_every_client_has_the_same_table():
    given = {"features": {"a": {"missing": "mean", "clip": 3}, "b": {"levels": ["x", "y"]}}}
    table = terms(horizontal=given).table("party-1")
    assert {name: (one.kind, one.missing) for name, one in table.columns.items()} == {
        "a": ("numeric", "mean"),
        "b": ("categorical", "reject"),
    }


def test_amendments_keep_to_the_composition():
    made = terms(4)
    made.require_composition(["client"] * 3 + ["aggregator"])
    with pytest.raises(ValueError, match="at least three"):
        made.require_composition(["client"] * 2 + ["aggregator"])
