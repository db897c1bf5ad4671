"""Vertical regressions give as many independent numbers about labels and columns as their engines declare.

The numbers are those that the role programs really received. Every equation is checked against them before its rank counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from tests.attacks.equations import declared, one, rank
from tests.federation import FOREVER, federation, quiet
from tests.fl_tasks.protocols.linear.test_programs import STUB, data, train
from tombolo.fl_tasks.learning.vertical.dealt_gradient import DealtGradient
from tombolo.fl_tasks.learning.vertical.key_holder import MaskedGradient
from tombolo.fl_tasks.learning.vertical.quadratic import _batches, batch_size
from tombolo.fl_tasks.learning.vertical.roles import DEALER_WAIVER
from tombolo.fl_tasks.protocols.logistic_arbiter import programs as arbiter_oracle
from tombolo.fl_tasks.runtime.session import Session

ROWS, COLUMNS, L2 = 120, 6, 0.01
PARTIES = ("clinic", "lab", "mill")
CASES = [
    ("linear", "paillier", 1, 7, 50),
    ("linear", "dealer", 2, 8, None),
    ("logistic-taylor", "paillier", 2, 3, None),
    ("logistic-taylor", "dealer", 1, 8, None),
    ("logistic-arbiter", "paillier", 2, 3, None),
    ("logistic-arbiter", "dealer", 1, 6, None),
    ("logistic-guest", "paillier", 2, 4, None),
    ("logistic-guest", "paillier", 1, 3, None),
]


@dataclass
class Watched:
    """A real training, with what was received and the points at which it was computed.

    ``sums`` are each party's received gradients X^T d by round, ``points`` the weights that its residual was computed at.
    """

    protocol: str
    x: dict[str, np.ndarray]
    y: np.ndarray
    sums: dict[str, list[np.ndarray]]
    points: dict[str, list[np.ndarray]]
    batches: list[np.ndarray]
    rounds: int
    declared: list[Any] = field(default_factory=list)
    scalars: list[list[float]] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        return self.protocol in ("logistic-arbiter", "logistic-guest")

    @property
    def hosts(self) -> list[str]:
        return [party for party in self.x if party != "clinic"]

    @property
    def target(self) -> np.ndarray:
        return 4 * self.y - 2 if self.protocol == "logistic-taylor" else self.y

    def rows(self, number: int) -> np.ndarray:
        return self.batches[number % len(self.batches)]

    def logits(self, number: int) -> np.ndarray:
        return sum((self.x[party] @ self.points[party][number] for party in self.x), np.zeros(len(self.y)))

    def about_labels(self, number: int) -> np.ndarray:
        """The labels' weights in what all hosts get in a round, shape (numbers, rows); checked against what came."""
        rows, u = self.rows(number), self.logits(number)
        found = []
        for host in self.hosts:
            weights = np.zeros((self.x[host].shape[1], len(self.y)))
            weights[:, rows] = -self.x[host][rows].T
            known = 1 / (1 + np.exp(-u)) if self.exact else u
            self.agree(self.sums[host][number], weights @ self.target - weights @ known)
            found.append(weights)
        return np.vstack(found)

    def about_column(self, number: int, owner: str, column: int, to: tuple[str, ...]) -> np.ndarray:
        """The weights of one column of ``owner`` in what ``to`` get in a round, around its true values."""
        rows, u, x = self.rows(number), self.logits(number), self.x[owner][:, column]
        p = 1 / (1 + np.exp(-u))
        slope = self.points[owner][number][column] * (p * (1 - p) if self.exact else np.ones(len(u)))
        found = []
        for party in to:
            weights = np.zeros((self.x[party].shape[1], len(u)))
            weights[:, rows] = self.x[party][rows].T * slope[rows]
            self._moves(number, owner, party, column, weights)
            if not self.exact:
                rest = self.x[party][rows].T @ (u - self.points[owner][number][column] * x - self.target)[rows]
                self.agree(self.sums[party][number], weights @ x + rest)
            found.append(weights)
        return np.vstack(found)

    def _moves(self, number: int, owner: str, party: str, column: int, weights: np.ndarray) -> None:
        """The sums move as the weights say when the column does."""
        rows, u, by = self.rows(number), self.logits(number), self.points[owner][number][column]
        direction, step = np.random.default_rng(number).normal(size=len(u)), 1e-4

        def sums(at: np.ndarray) -> np.ndarray:
            d = 1 / (1 + np.exp(-at)) - self.y if self.exact else at - self.target
            return self.x[party][rows].T @ d[rows]

        self.agree(self.sums[party][number], sums(u))
        moved = (sums(u + step * by * direction) - sums(u - step * by * direction)) / (2 * step)
        assert np.allclose(moved, weights @ direction, rtol=1e-4, atol=1e-4)

    @staticmethod
    def agree(received: np.ndarray, computed: np.ndarray) -> None:
        assert np.allclose(received, computed, rtol=1e-5, atol=1e-4)


def _point(protocol: str, state: Any) -> np.ndarray:
    if protocol in ("linear", "logistic-taylor"):
        return np.asarray(state["w"] + state["p"])
    return np.asarray(state["ahead" if protocol == "logistic-arbiter" else "w"])


@pytest.fixture
def watch(tmp_path, monkeypatch):
    """Trains once, by the real programs, and returns a :class:`Watched`."""

    def watched(protocol: str, engine: str, hosts: int, rounds: int, batch: int | None) -> Watched:
        sums: dict[str, list[np.ndarray]] = {party: [] for party in PARTIES}
        points: dict[str, list[np.ndarray]] = {party: [] for party in PARTIES}
        scalars: list[list[float]] = []
        reals = {MaskedGradient: "receive", DealtGradient: "__call__"}
        for kind, name in reals.items():
            real = getattr(kind, name)

            def received(self, *args, _real=real):
                values = _real(self, *args)
                sums[self._session.me].append(values)
                return values

            monkeypatch.setattr(kind, name, received)
        checkpoint, total = Session.checkpoint, arbiter_oracle.total

        def kept(self, state):
            if self.role != "arbiter":
                points[self.me].append(_point(protocol, state))
            return checkpoint(self, state)

        def added(tables, count):
            scalars.append(total(tables, count))
            return scalars[-1]

        monkeypatch.setattr(Session, "checkpoint", kept)
        monkeypatch.setattr(arbiter_oracle, "total", added)
        x, y = data(ROWS)
        y = (y - y.mean()) / y.std()
        if protocol != "linear":
            y = (y + np.random.default_rng(5).normal(size=ROWS) > 0).astype(float)
        module = import_module(
            f"tombolo.fl_tasks.protocols.{protocol.replace('-', '_')}.{'dealer' if engine == 'dealer' else 'programs'}"
        )
        given = {"batch_rows": batch, "step": 0.1} if batch else {}
        task = {"protocol": protocol, "engine": engine, "label": {"column": "label"}}
        keys = {"key_bits": 1024} if engine == "paillier" else {}
        task["parameters"] = {"l2": L2, "tolerance": 0.0, "rounds": {"default": rounds, "min": 1, "max": 50}, **keys, **given}
        task["waivers"] = [DEALER_WAIVER] if engine == "dealer" else []
        task["waivers"] += ["disclose-direction-to-guest"] if protocol == "logistic-guest" else []
        roles = {party: "guest" if party == "clinic" else "host" for party in PARTIES[: hosts + 1]}
        roles |= {} if protocol == "logistic-guest" else {"notary": "arbiter"}
        tables = dict.fromkeys(PARTIES[: hosts + 1], STUB)
        fed = federation(tmp_path, tables, roles, task=task, limits={"minimum_batch": 40})
        if protocol == "logistic-guest":  # its hosts must have five columns
            x = np.column_stack([x, np.random.default_rng(6).normal(size=(ROWS, 6))])
        states = train(fed, module, x, y, fed.start(rounds=rounds))
        done = states["clinic"]["round"]
        parts = np.array_split(np.arange(x.shape[1]), hosts + 1)
        blocks = {party: x[:, part] for party, part in zip(PARTIES, parts, strict=False)}
        blocks["clinic"] = np.column_stack([np.ones(ROWS), blocks["clinic"]])
        if protocol == "logistic-guest":
            sums["clinic"] = []
        with fed.context("clinic").session("run-1", module.MESSAGES, "train", FOREVER, quiet) as session:
            size = ROWS if protocol.startswith("logistic-") and protocol != "logistic-taylor" else batch_size(session, ROWS)
            batches = _batches(session, ROWS, size)
        target = 4 * y - 2 if protocol == "logistic-taylor" else y
        for party, own in blocks.items():
            start = np.zeros(own.shape[1])
            if party == "clinic" and protocol in ("linear", "logistic-taylor"):
                start[0] = target.mean()
            points[party] = [start, *points[party]][:done]
            assert len(sums[party]) == (0 if (protocol, party) == ("logistic-guest", "clinic") else done)
        found = declared(fed, {party: own.shape[1] for party, own in blocks.items()}, ROWS, rounds)
        return Watched(protocol, blocks, y, sums, points, batches, done, found, scalars)

    return watched


@pytest.mark.parametrize(("protocol", "engine", "hosts", "rounds", "batch"), CASES)
def test_ranks_are_those_declared(watch, protocol: str, engine: str, hosts: int, rounds: int, batch: int | None) -> None:
    """About labels, and about one column of every party, for all recipients together, in every batch by itself."""
    seen: Watched = watch(protocol, engine, hosts, rounds, batch)
    assert seen.rounds == rounds
    labels = [seen.about_labels(number) for number in range(rounds)]
    own = sum(seen.x[host].shape[1] for host in seen.hosts)
    assert rounds > own or protocol == "logistic-guest" or hosts == 2
    told = one(seen.declared, "labels", "clinic", set(seen.hosts))
    assert told.numbers == own
    assert told.rows == min(map(len, seen.batches))
    for rows in seen.batches:
        assert rank([weights[:, rows] for weights in labels]) == told.numbers
    assert rank(labels) == told.numbers * len(seen.batches)
    for owner in seen.x:
        entries = [entry for entry in seen.declared if (entry.about, entry.owner) == ("columns", owner)]
        assert bool(entries) == (protocol != "logistic-guest" or owner == "clinic" or hosts > 1)
        for entry in entries:
            column = 1 if owner == "clinic" else 0
            weights = [seen.about_column(number, owner, column, entry.to) for number in range(rounds)]
            for rows in seen.batches:
                assert rank([part[:, rows] for part in weights]) == entry.numbers


def test_hosts_and_arbiter_of_the_exact_form_know_more_labels_than_hosts(watch) -> None:
    """With the logits in order, the arbiter's scalars are equations about labels, in the span of the logits of the rounds."""
    seen: Watched = watch("logistic-arbiter", "dealer", 1, 3, None)
    u = np.array([seen.logits(number) for number in range(3)])
    for number, (linear, *_) in enumerate(seen.scalars):
        penalty = L2 / 2 * sum(float(np.sum(points[number][party == "clinic" :] ** 2)) for party, points in _by_party(seen))
        assert linear - penalty == pytest.approx(float(((0.5 - seen.y) * u[number]).mean()), abs=1e-6)
    equations = [*(seen.about_labels(number) for number in range(3)), u]
    told = one(seen.declared, "labels", "clinic", {"lab", "notary"})
    assert rank(equations) == told.numbers == one(seen.declared, "labels", "clinic", {"lab"}).numbers + 2


def test_the_arbiters_equations_never_exceed_the_guests_columns(watch) -> None:
    seen: Watched = watch("logistic-arbiter", "dealer", 2, 9, None)
    u = np.array([seen.logits(number) for number in range(seen.rounds)])
    told = one(seen.declared, "labels", "clinic", {"lab", "mill", "notary"})
    assert rank([*(seen.about_labels(number) for number in range(seen.rounds)), u]) == told.numbers == COLUMNS + 1


def _by_party(seen: Watched):
    return [(party, points) for party, points in seen.points.items() if party in seen.x]
