"""The graph of neighbours: regular, symmetric, connected whatever the corrupt and the vanished do; its numbers from exact tails."""

from __future__ import annotations

import random
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tombolo.fl_tasks.learning.horizontal.secagg import graph
from tombolo.fl_tasks.learning.horizontal.secagg.graph import COMPLETE_UP_TO, Graph, parameters

SEEDS = st.binary(min_size=32, max_size=32)
SIZES = st.integers(COMPLETE_UP_TO + 1, 150)


def drawn(seed: bytes, clients: int) -> Graph:
    return Graph.draw(seed, clients, clients, 2 * clients // 3 + 1)


def components(found: Graph, left: set[int]) -> list[set[int]]:
    """What hangs together of the places that are left, by walking from neighbour to neighbour."""
    parts, todo = [], set(left)
    while todo:
        part, edge = set(), [todo.pop()]
        while edge:
            at = edge.pop()
            part.add(at)
            edge += [one for one in found.holders(at) if one in left and one not in part]
        parts.append(part)
        todo -= part
    return parts


@pytest.mark.parametrize("clients", [3, 4, 49, COMPLETE_UP_TO])
def test_up_to_fifty_everybody_is_everybodys_neighbour(clients):
    found = drawn(bytes(32), clients)
    assert all(found.holders(place) == list(range(1, clients + 1)) for place in found.circle)
    assert found.threshold == 2 * clients // 3 + 1
    assert found.keeps(set())  # what is asked of them is asked of all together


@settings(max_examples=20, deadline=None)
@given(SEEDS, SIZES)
def test_above_it_is_regular_symmetric_and_connected(seed, clients):
    found = drawn(seed, clients)
    degree, threshold = parameters(clients, clients // 3, clients // 5)
    held = {place: found.holders(place) for place in range(1, clients + 1)}
    assert sorted(found.circle) == list(held)
    assert all(len(set(near)) == degree + 1 and place in near for place, near in held.items())
    assert all(place in held[other] for place, near in held.items() for other in near)
    assert found.threshold == threshold
    assert len(components(found, set(held))) == 1


@given(SEEDS, SEEDS)
def test_the_roster_determines_the_graph(seed, other):
    assert drawn(seed, 60) == drawn(seed, 60)
    assert (drawn(seed, 60) == drawn(other, 60)) == (seed == other)


@settings(max_examples=60, deadline=None)
@given(SEEDS, SIZES, st.data())
def test_what_the_graph_bears_leaves_the_honest_connected(seed, clients, data):
    """For any corrupt third and whoever is dropped by somebody who sees the graph: refused, or honest survivors hang together."""
    found = drawn(seed, clients)
    chance = random.Random(data.draw(st.integers(0, 2**32)))
    corrupt = set(chance.sample(range(1, clients + 1), clients // 3))
    start, size = data.draw(st.integers(0, clients - 1)), data.draw(st.integers(0, clients // 3))
    second = data.draw(st.integers(0, clients - 1))
    places = [*range(start, start + size // 2), *range(second, second + size - size // 2)]  # two stretches: the way to cut a circle
    left = set(found.circle) - {found.circle[at % clients] for at in places}
    if found.keeps(left):
        assert len(components(found, left - corrupt)) == 1
        for place in left - corrupt:
            near = set(found.holders(place))
            assert len(near & corrupt) < found.threshold <= len(near & left - {place})


def test_two_empty_stretches_are_refused():
    """One client with nobody left on either side is cut off; with one stretch empty, the circle still holds together."""
    found = drawn(bytes(32), 60)
    alone, reach = 0, found.reach
    around = {found.circle[(alone + step) % 60] for step in range(-reach, reach + 1)} - {found.circle[alone]}
    left = set(found.circle) - around
    assert len(components(found, left)) == 2
    assert not found.keeps(left)
    assert found.keeps(set(found.circle))


@pytest.mark.parametrize("clients", [51, 60, 100, 200])
def test_a_fifth_may_vanish(clients):
    """Random drops of a fifth never stopped a sum in as many tries as there is time for."""
    chance = random.Random(clients)
    for _ in range(50):
        found = drawn(chance.randbytes(32), clients)
        assert found.keeps(set(chance.sample(range(1, clients + 1), clients - clients // graph.DROPPED)))


def at_least(total: int, marked: int, drawn: int, least: int) -> Fraction:
    """The hypergeometric tail as a textbook has it."""
    ways = sum(comb(marked, i) * comb(total - marked, drawn - i) for i in range(least, min(marked, drawn) + 1))
    return Fraction(ways, comb(total, drawn))


@pytest.mark.parametrize(
    ("clients", "expected"),
    [(51, (28, 18)), (60, (34, 21)), (100, (54, 34)), (150, (82, 51)), (200, (108, 67)), (500, (212, 136)), (1000, (288, 184))],
)
def test_parameters_keep_their_promises_and_no_smaller_ones_do(clients, expected):
    corrupt, dropped, pairs = clients // 3, clients // 5, comb(clients, 2)

    def private(k: int, t: int) -> bool:
        return at_least(clients, corrupt, k, t) * pairs <= Fraction(1, 2**104)

    def completes(k: int, t: int) -> bool:
        return at_least(clients, dropped, k, k - t + 1) * pairs <= Fraction(1, 2**30)

    k, t = parameters(clients, corrupt, dropped)
    assert (k, t) == expected
    assert private(k, t) and completes(k, t)
    assert not private(k, t - 1)
    assert not any(private(k - 2, least) and completes(k - 2, least) for least in range(1, k - 1))


def test_whoever_leaves_honest_clients_off_the_roster_gains_nothing():
    """The corrupt are counted among the agreement's clients: on a shorter roster they are the larger part, and t grows with it."""
    whole, part = Graph.draw(bytes(32), 200, 200, 134), Graph.draw(bytes(32), 134, 200, 134)
    assert part.threshold / (2 * part.reach) > whole.threshold / (2 * whole.reach)
    assert part.threshold > 200 // 3


def test_where_no_graph_is_good_enough_it_is_complete():
    assert parameters(52, 40, 10) is None
    found = Graph.draw(bytes(32), 52, 120, 52)
    assert found.holders(1) == list(range(1, 53)) and found.threshold == 52
