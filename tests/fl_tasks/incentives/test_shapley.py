"""The axioms of the Shapley value, exact and sampled, and leave-one-out."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.fl_tasks.incentives import shapley

NAMES = ("ann", "bob", "cat", "dan", "eva", "fay", "gus", "hal")
values = st.floats(-1e6, 1e6, allow_subnormal=False)
SEED = bytes(range(32))


@st.composite
def games(draw, low: int = 1, high: int = 5) -> tuple[tuple[str, ...], dict]:
    players = NAMES[: draw(st.integers(low, high))]
    everyone = shapley.coalitions(players)
    return players, dict(zip(everyone, draw(st.lists(values, min_size=len(everyone), max_size=len(everyone))), strict=True))


def near(one: float, other: float) -> bool:
    return one == pytest.approx(other, rel=1e-9, abs=1e-6)


@given(games())
def test_efficiency(game):
    players, table = game
    found = shapley.exact(players, table.__getitem__)
    assert near(sum(found.values()), table[frozenset(players)] - table[frozenset()])


@given(games())
def test_it_is_the_mean_over_all_orders(game):
    players, table = game
    mean, _ = shapley.sampled(players, table.__getitem__, [*permutations(players)] * 2)
    assert mean == shapley.exact(players, table.__getitem__)


@given(games(2))
def test_symmetry(game):
    players, table = game
    first, second, *_ = players
    swap = {first: second, second: first}

    def symmetric(one):
        return table[one] + table[frozenset(swap.get(player, player) for player in one)]

    found = shapley.exact(players, symmetric)
    assert near(found[first], found[second])


@given(games(2))
def test_a_null_player_gets_nothing(game):
    players, table = game
    null = players[0]
    orders = shapley.random_orders(players, SEED, 8)
    for found in (
        shapley.exact(players, lambda one: table[one - {null}]),
        *shapley.sampled(players, lambda one: table[one - {null}], orders),
        shapley.leave_one_out(players, lambda one: table[one - {null}]),
    ):
        assert found[null] == 0


@given(games(3, 3), games(3, 3))
def test_additivity(one, other):
    players, tables = one[0], (one[1], other[1])
    both = shapley.exact(players, lambda who: tables[0][who] + tables[1][who])
    apart = [shapley.exact(players, table.__getitem__) for table in tables]
    orders = shapley.random_orders(players, SEED, 8)
    drawn = [shapley.sampled(players, table.__getitem__, orders)[0] for table in tables]
    sums, _ = shapley.sampled(players, lambda who: tables[0][who] + tables[1][who], orders)
    for player in players:
        assert near(both[player], apart[0][player] + apart[1][player])
        assert near(sums[player], drawn[0][player] + drawn[1][player])


@given(games(3))
def test_renaming_and_order_of_players_change_nothing(game):
    players, table = game
    assert shapley.exact(players[::-1], table.__getitem__) == shapley.exact(players, table.__getitem__)


def test_sampling_comes_near_and_says_how_near():
    players = NAMES

    def value(one):  # every pair gains something, one player much
        return len(one) ** 2 / 64 + (0.5 if "gus" in one and len(one) > 2 else 0)

    truth = shapley.exact(players, value)
    for seed in (bytes([number]) * 32 for number in range(5)):
        orders = shapley.random_orders(players, seed, 64)
        found, errors = shapley.sampled(players, value, orders)
        assert near(sum(found.values()), value(frozenset(players)))
        assert all(0 < errors[player] < 0.06 for player in players)
        assert all(abs(found[player] - truth[player]) <= 4.5 * errors[player] for player in players)
    assert len(shapley.needed(orders)) < 2**8


def test_a_seed_gives_the_same_orders_to_everybody():
    assert shapley.random_orders(NAMES, SEED, 5) == shapley.random_orders(NAMES, SEED, 5)
    assert shapley.random_orders(NAMES, SEED, 5) != shapley.random_orders(NAMES, bytes(32), 5)
    assert all(sorted(order) == sorted(NAMES) for order in shapley.random_orders(NAMES, SEED, 5))


def test_a_worked_example():
    """Alone the guest reaches 0.7; either host lifts it to 0.8, both to 0.82; hosts alone are worth the baseline."""
    table = {
        frozenset(): 0.5,
        frozenset({"g"}): 0.7,
        frozenset({"a"}): 0.5,
        frozenset({"b"}): 0.5,
        frozenset({"g", "a"}): 0.8,
        frozenset({"g", "b"}): 0.8,
        frozenset({"a", "b"}): 0.5,
        frozenset({"g", "a", "b"}): 0.82,
    }
    found = shapley.exact(("g", "a", "b"), table.__getitem__)
    assert found == pytest.approx({"g": 0.2 / 3 + 0.3 / 3 + 0.32 / 3, "a": 0.1 / 6 + 0.02 / 3, "b": 0.1 / 6 + 0.02 / 3})
    assert shapley.leave_one_out(("g", "a", "b"), table.__getitem__) == pytest.approx({"g": 0.32, "a": 0.02, "b": 0.02})
