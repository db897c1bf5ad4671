"""The cooperative game of a training run: its players, the coalitions to value, and the contributions that follow.

The value of a coalition is the metric of its model on the held-out rows. A coalition without the guest has no labels and so no
model. Its value is the baseline: the metric of predicting the mean label of the training rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tombolo.agreements.terms import IncentiveTerms, Terms
from tombolo.fl_tasks.incentives import shapley
from tombolo.fl_tasks.incentives.shapley import MOST_EXACT, Coalition
from tombolo.fl_tasks.learning.metrics import HIGHER_IS_BETTER, metric_names
from tombolo.storage.roles import ARBITER, DATA, GUEST

ORDERS = 64
"""The number of random orders that are drawn if there are too many players for exact values."""
_BOUNDS = {"auc": (0, 1), "ks": (0, 1), "accuracy": (0, 1), "logloss": (0, math.inf), "rmse": (0, math.inf), "r2": (-math.inf, 1)}
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Game:
    """``players`` are the data parties in the agreement's order. ``asked`` are the coalitions to value; the empty one is first."""

    players: tuple[str, ...]
    guest: str
    metric: str
    orders: tuple[tuple[str, ...], ...]
    asked: tuple[Coalition, ...]

    @classmethod
    def of(cls, terms: Terms, roles: Mapping[str, str], seed: bytes) -> Game:
        """The game of a run. ``seed`` is the manifest's digest; all parties draw the same orders from it."""
        players = tuple(party for party, role in roles.items() if role in DATA)
        guest = next(party for party in players if roles[party] == GUEST)
        everybody = frozenset(players)
        orders: list[tuple[str, ...]] = []
        if len(players) <= MOST_EXACT:
            wanted = set(shapley.coalitions(players))
        else:
            orders = shapley.random_orders(players, seed, ORDERS)
            wanted = shapley.needed(orders) | {everybody - {player} for player in players}
        led = sorted(
            (coalition for coalition in wanted if guest in coalition),
            key=lambda coalition: (len(coalition), sorted(map(players.index, coalition))),
        )
        return cls(players, guest, metric_of(terms), tuple(orders), (frozenset(), *led))

    def members(self, coalition: Coalition) -> list[str]:
        """A coalition's members, in the agreement's order."""
        return [player for player in self.players if player in coalition]

    def mask(self, coalition: Coalition) -> int:
        """The coalition as a number: bit k stands for player k."""
        return sum(1 << self.players.index(player) for player in coalition)

    def plausible(self, values: Sequence[float]) -> bool:
        """Whether the values are possible for the metric: finite and, up to rounding, within its range."""
        low, high = _BOUNDS[self.metric]
        return all(math.isfinite(value) and low - _ROUNDING <= value <= high + _ROUNDING for value in values)

    def better(self, value: float, than: float) -> float:
        """How much better ``value`` is than ``than``; positive means better."""
        return value - than if HIGHER_IS_BETTER[self.metric] else than - value

    def contributions(self, incentives: IncentiveTerms, rows: int, columns: Mapping[str, int]) -> dict[str, Any]:
        """The contributions as a document, as long as no coalition is valued."""
        total = sum(columns.values())
        return unvalued(self.metric, incentives, rows, {player: columns[player] / total for player in self.players})

    def assessed(self, values: Sequence[float]) -> dict[str, Any]:
        """The contributions from coalition values, given in the order of ``asked``; positive if a party improves the model."""
        by_coalition = dict(zip(self.asked, values, strict=True))
        sign = 1.0 if HIGHER_IS_BETTER[self.metric] else -1.0

        def gain(coalition: Coalition) -> float:
            return sign * by_coalition[coalition if self.guest in coalition else frozenset()]

        worth, errors = (
            shapley.sampled(self.players, gain, self.orders) if self.orders else (shapley.exact(self.players, gain), None)
        )
        return {
            "baseline": by_coalition[frozenset()],
            "coalitions": [
                {"members": self.members(coalition), "value": by_coalition[coalition]} for coalition in self.asked if coalition
            ],
            "shapley": worth,
            "errors": errors,
            "leave_one_out": shapley.leave_one_out(self.players, gain),
        }


def unvalued(metric: str, incentives: IncentiveTerms, rows: int, volume: Mapping[str, float]) -> dict[str, Any]:
    """Contributions by volume alone. ``rows`` is the number of evaluated rows, ``volume`` each player's share of the data."""
    return {
        "metric": metric,
        "rows": rows,
        "method": incentives.method,
        "absent": incentives.absent,
        "players": list(volume),
        "baseline": None,
        "coalitions": [],
        "shapley": None,
        "errors": None,
        "leave_one_out": None,
        "volume": dict(volume),
    }


def metric_of(terms: Terms) -> str:
    """The metric that rewards are computed from: that of the terms, or else the first metric of the predicted outcome."""
    assert terms.incentives is not None
    return terms.incentives.metric or metric_names(terms.task.outcome)[0]


def trainings(terms: Terms, roles: Mapping[str, str], party: str) -> int:
    """How often a party trains with others in a run: once for the model, and once for each coalition that is trained again."""
    if terms.incentives is None or terms.incentives.method == "volume" or terms.incentives.absent == "mean":
        return 1
    game = Game.of(terms, roles, bytes(32))
    return sum(len(coalition) > 1 and (party in coalition or roles[party] == ARBITER) for coalition in game.asked)
