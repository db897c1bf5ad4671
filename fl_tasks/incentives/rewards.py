"""Rewards: an amount in whole units that is divided by contribution. The sums are exact and the same at every party."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from tombolo.agreements.terms import IncentiveTerms


def divide(amount: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Divide ``amount`` in proportion to the weights (not negative, not all 0) by the largest remainders.

    A party with a larger weight never gets less. Units that are left over go to the largest remainders. If remainders are equal,
    the larger weight comes first, then the first name.
    """
    total = sum(map(Fraction, weights.values()), Fraction(0))
    quotas = {name: amount * Fraction(weight) / total for name, weight in weights.items()}
    shares = {name: int(quota) for name, quota in quotas.items()}
    order = sorted(quotas, key=lambda name: (shares[name] - quotas[name], -quotas[name], name))
    for name in order[: amount - sum(shares.values())]:
        shares[name] += 1
    return shares


def weights_of(contributions: Mapping[str, Any]) -> dict[str, float]:
    """The weights that divide the budget: positive Shapley values, or the shares of the data if no Shapley value is positive."""
    positive = {party: max(0.0, value) for party, value in (contributions["shapley"] or {}).items()}
    return positive if any(positive.values()) else dict(contributions["volume"])


def training_rewards(incentives: IncentiveTerms, contributions: Mapping[str, Any], members: Mapping[str, str]) -> dict[str, Any]:
    """The rewards of a training run: first the members' refunds, then the rest of the budget by contribution."""
    refunds = {party: cost for party, cost in incentives.refunds.items() if party in members}
    rest = incentives.budget - sum(refunds.values())
    return {
        "budget": incentives.budget,
        "currency": incentives.currency,
        "refunds": refunds,
        "rewards": divide(rest, weights_of(contributions)),
    }
