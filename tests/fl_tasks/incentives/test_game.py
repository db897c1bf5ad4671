"""Which coalitions are valued, and how many trainings that takes."""

from __future__ import annotations

import pytest

from tombolo.agreements.terms import MOST_RETRAINED, Terms
from tombolo.fl_tasks.incentives.game import Game, trainings
from tombolo.fl_tasks.incentives.shapley import MOST_EXACT

HOSTS = [f"host{number}" for number in range(9)]


def terms(hosts: int, **incentives) -> Terms:
    parties = {"clinic": {"role": "guest"}, **{host: {"role": "host"} for host in HOSTS[:hosts]}, "notary": {"role": "arbiter"}}
    return Terms.model_validate(
        {
            "schema": "tombolo.terms/1",
            "name": "trial",
            "parties": parties,
            "task": {"protocol": "linear", "label": {"column": "y"}},
            "alignment": {"id": [{"column": "id"}]},
            "incentives": {"budget": 1, **incentives},
        }
    )


@pytest.mark.parametrize("hosts", [1, 2, 5, 6, 9])
def test_the_empty_coalition_first_everybody_last_all_others_with_the_guest(hosts):
    made = terms(hosts)
    game = Game.of(made, made.roles(), bytes(32))
    assert game.asked[0] == frozenset() and game.asked[-1] == frozenset(game.players)
    assert all("clinic" in one for one in game.asked[1:]) and len(set(game.asked)) == len(game.asked)
    assert "notary" not in game.players
    assert len({game.mask(one) for one in game.asked}) == len(game.asked)
    if hosts < MOST_EXACT:
        assert len(game.asked) == 2**hosts + 1 and not game.orders
    else:
        assert len(game.orders) == 64
        assert {frozenset(game.players) - {host} for host in HOSTS[:hosts]} <= set(game.asked)
    game.assessed([float(one) for one in range(len(game.asked))])  # nothing else is asked for


def test_trainings_are_counted_before_the_first():
    assert MOST_RETRAINED == MOST_EXACT
    two, five = terms(2, absent="retrain"), terms(5, absent="retrain")
    assert [trainings(two, two.roles(), party) for party in ("clinic", "host0", "notary")] == [3, 2, 3]
    assert [trainings(five, five.roles(), party) for party in ("clinic", "host0", "notary")] == [31, 16, 31]
    for other in (terms(2), terms(2, absent="retrain", method="volume")):
        assert trainings(other, other.roles(), "clinic") == 1
