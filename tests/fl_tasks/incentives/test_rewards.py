"""Budgets divided to the last unit, fairly, the same everywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.agreements.terms import IncentiveTerms
from tombolo.fl_tasks.incentives.rewards import divide, training_rewards

names = st.sampled_from(["ann", "bob", "cat", "dan", "eva", "fay", "gus"])
weights = st.dictionaries(names, st.floats(0, 1e9, allow_subnormal=True), min_size=1).filter(lambda found: any(found.values()))
amounts = st.integers(0, 10**15)
MEMBERS = {"clinic": "guest", "lab": "host", "notary": "arbiter"}


@given(amounts, weights)
def test_sums_are_exact_and_nobody_is_a_unit_off(amount, given):
    shares = divide(amount, given)
    assert sum(shares.values()) == amount and set(shares) == set(given)
    total = sum(given.values())
    assert all(abs(share - amount * (given[name] / total)) <= 1 + 1e-9 * amount for name, share in shares.items())
    assert all(shares[name] == 0 for name, weight in given.items() if weight == 0)


@given(amounts, weights)
def test_more_weight_never_gets_less(amount, given):
    shares = divide(amount, given)
    for one in given:
        for other in given:
            assert given[one] <= given[other] or shares[one] >= shares[other]


@given(amounts, weights)
def test_the_order_of_names_does_not_count(amount, given):
    assert divide(amount, dict(reversed(given.items()))) == divide(amount, given)


def test_ties_go_to_the_first_name():
    assert divide(100, {"cat": 1.0, "ann": 1.0, "bob": 1.0}) == {"ann": 34, "bob": 33, "cat": 33}


@pytest.mark.parametrize(
    ("shapley", "expected"),
    [
        ({"clinic": 0.3, "lab": 0.1}, {"clinic": 6750, "lab": 2250}),
        ({"clinic": 0.3, "lab": -0.1}, {"clinic": 9000, "lab": 0}),
        ({"clinic": -0.3, "lab": 0.0}, {"clinic": 1800, "lab": 7200}),  # nobody gains: by data
        (None, {"clinic": 1800, "lab": 7200}),
    ],
)
def test_refunds_come_first_and_the_rest_goes_by_contribution(shapley, expected):
    terms = IncentiveTerms(budget=10_000, refunds={"notary": 1000})
    paid = training_rewards(terms, {"shapley": shapley, "volume": {"clinic": 0.2, "lab": 0.8}}, MEMBERS)
    assert paid == {"budget": 10_000, "currency": "EUR", "refunds": {"notary": 1000}, "rewards": expected}


def test_who_has_left_gets_no_refund():
    terms = IncentiveTerms(budget=10, refunds={"notary": 3, "mill": 4})
    paid = training_rewards(terms, {"shapley": None, "volume": {"clinic": 0.5, "lab": 0.5}}, MEMBERS)
    assert paid["refunds"] == {"notary": 3} and sum(paid["rewards"].values()) == 7
