"""Contributions of players to a game: exact or sampled Shapley values, and leave-one-out. All are functions of coalition values.

A game gives a number to each coalition (a set of players). All arithmetic uses fractions and rounds once at the end, so that every
party computes the same bytes from the same coalition values (Shapley 1953; sampling: Castro, Gomez and Tejada 2009).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import combinations
from math import factorial, sqrt

from tombolo.fl_tasks.crypto.prf import Prf

Coalition = frozenset[str]
Value = Callable[[Coalition], float]
Orders = Sequence[tuple[str, ...]]
MOST_EXACT = 6
"""The largest number of players for which Shapley values are computed exactly."""


def coalitions(players: Sequence[str]) -> list[Coalition]:
    """All subsets, smaller ones first."""
    return [frozenset(chosen) for size in range(len(players) + 1) for chosen in combinations(players, size)]


def exact(players: Sequence[str], value: Value) -> dict[str, float]:
    """The Shapley value of every player: its marginal value, averaged over all orders in which the players can join."""
    count = len(players)
    worth = {}
    for player in players:
        others = [other for other in players if other != player]
        total = Fraction(0)
        for before in coalitions(others):
            weight = Fraction(factorial(len(before)) * factorial(count - len(before) - 1), factorial(count))
            total += weight * (Fraction(value(before | {player})) - Fraction(value(before)))
        worth[player] = float(total)
    return worth


def sampled(players: Sequence[str], value: Value, orders: Orders) -> tuple[dict[str, float], dict[str, float]]:
    """Mean marginal value of every player over the given orders (two or more), and the mean's standard error."""
    means, errors, count = {}, {}, len(orders)
    for player in players:
        marginals = []
        for order in orders:
            before = frozenset(order[: order.index(player)])
            marginals.append(Fraction(value(before | {player})) - Fraction(value(before)))
        mean = sum(marginals, Fraction(0)) / count
        variance = sum(((marginal - mean) ** 2 for marginal in marginals), Fraction(0)) / (count - 1)
        means[player], errors[player] = float(mean), sqrt(float(variance / count))
    return means, errors


def random_orders(players: Sequence[str], seed: bytes, count: int) -> list[tuple[str, ...]]:
    """``count`` orders of the players, drawn from a public 32-byte seed. Every party draws the same ones."""
    stream = Prf(seed).stream("shapley orders")
    return [tuple(players[index] for index in stream.permutation(len(players))) for _ in range(count)]


def needed(orders: Orders) -> set[Coalition]:
    """The coalitions whose values :func:`sampled` needs."""
    return {frozenset(order[:size]) for order in orders for size in range(len(order) + 1)}


def leave_one_out(players: Sequence[str], value: Value) -> dict[str, float]:
    """For each player, how much the value of all players falls when that player leaves."""
    everybody = frozenset(players)
    return {player: float(Fraction(value(everybody)) - Fraction(value(everybody - {player}))) for player in players}
