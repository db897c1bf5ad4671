"""A federation for the tests of the vertical network, and the same network with all columns and weights in one place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from fl_tasks.nets.dense import Dense
from fl_tasks.vertical import neural
from fl_tasks.vertical.block import Block
from fl_tasks.vertical.neural.forward import activated, bent
from fl_tasks.vertical.neural.grid import WEIGHT_BITS
from fl_tasks.vertical.neural.guest import Tower
from tests.federation import Federation, federation

STUB = pa.table({"id": ["a"]})
NAMES = ("clinic", "lab", "bank")
LIMITS = {"minimum_batch": 20, "minimum_rows_per_weight": 10}


def layout(tmp_path, hosts: int = 1, network: dict[str, Any] | None = None, limits=LIMITS, **parameters: Any) -> Federation:
    parties = NAMES[: hosts + 1]
    task = {"protocol": "vertical-mlp", "label": {"column": "label"}, "network": {"bottom": 3, "hidden": [2], **(network or {})}}
    task["parameters"] = {"key_bits": 1024, "rounds": {"default": 2, "min": 1, "max": 200}, "step": 0.5, **parameters}
    roles = {party: "guest" if party == "clinic" else "host" for party in parties}
    return federation(tmp_path, dict.fromkeys(parties, STUB), roles, task=task, limits=limits)


def sample(rows: int = 100, columns: int = 6, outcome: str = "binary", seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Columns, of which every product of two neighbours counts, and labels."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, columns))
    signal = x.sum(axis=1) + 2 * (x[:, 0] * x[:, -1])
    if outcome == "number":
        return x, 40 + 9 * signal
    edges = [0.0] if outcome == "binary" else np.quantile(signal, [1 / 3, 2 / 3])
    return x, np.digitize(signal, edges).astype(float)


def blocks(fed: Federation, x: np.ndarray, y: np.ndarray) -> dict[str, Block]:
    """The columns dealt to the parties; the guest's labels."""
    parts = zip(fed.parties, np.array_split(np.arange(x.shape[1]), len(fed.parties)), strict=True)
    return {
        party: Block(x[:, columns], y if party == fed.guest else None, tuple(f"c{column}" for column in columns))
        for party, columns in parts
    }


def train(fed: Federation, dealt: dict[str, Block], run: str = "run-1", **options: Any) -> dict[str, Any]:
    programs = {
        "guest": lambda session: neural.guest(session, dealt[session.me]),
        "host": lambda session: neural.host(session, dealt[session.me]),
    }
    return fed.roles(run, neural.CONTRACT, "train", programs, **options)


class Whole:
    """The network of all parties' states, in floating point, and its descent."""

    def __init__(self, fed: Federation, states: dict[str, Any], dealt: dict[str, Block]) -> None:
        terms, block = fed.place(fed.guest).terms, dealt[fed.guest]
        self.network = terms.task.network
        assert self.network is not None and self.network.bottom is not None
        self.tower = Tower.of(self.network, block.x.shape[1])
        self.outcome, self.activation = self.network.outcome, self.network.activation
        self.guest, self.hosts = fed.guest, [party for party in fed.parties if party != fed.guest]
        self.nets = {party: Dense((dealt[party].x.shape[1], self.network.bottom), self.activation) for party in self.hosts}
        self.w = {party: np.array(states[party]["w"]) for party in fed.parties}
        self.between = {party: joined(states, fed.guest, party) for party in self.hosts}

    def units(self, x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {party: activated(self.activation, self.nets[party].outputs(self.w[party], x[party])) for party in self.hosts}

    def outputs(self, x: dict[str, np.ndarray]) -> np.ndarray:
        units = self.units(x)
        sums = sum(units[party] @ self.between[party] for party in self.hosts)
        return self.tower.outputs(self.w[self.guest], x[self.guest], sums)

    def descend(self, x: dict[str, np.ndarray], y: np.ndarray, batches: list[np.ndarray], rounds: int, step: float, momentum: float):
        """Descent with momentum over the batches, as often as there are rounds; the mean loss of each."""
        weights = [*self.w.values(), *self.between.values()]
        velocities, found = [np.zeros_like(one) for one in weights], []
        for _ in range(rounds):
            total = 0.0
            for rows in batches:
                part = {party: one[rows] for party, one in x.items()}
                units = self.units(part)
                sums = sum(units[party] @ self.between[party] for party in self.hosts)
                lost, gradient, delta = self.tower.backward(self.w[self.guest], part[self.guest], sums, y[rows], self.outcome)
                total += lost.sum()
                gradients = {self.guest: gradient}
                for party in self.hosts:
                    back = delta @ self.between[party].T * bent(self.activation, units[party])
                    net = self.nets[party]
                    gradients[party] = net.backward(self.w[party], [part[party]], back)[0]
                moved = [gradients[party] for party in self.w] + [units[party].T @ delta for party in self.hosts]
                for weight, velocity, one in zip(weights, velocities, moved, strict=True):
                    velocity[:] = momentum * velocity - step / len(rows) * one
                    weight += velocity
            found.append(total / len(y))
        return found


def joined(states: dict[str, Any], guest: str, host: str) -> np.ndarray:
    """W between a host and the guest, of both shares, shape (units, sums)."""
    own, others = states[host]["share"][0], states[guest]["shares"][host][0]
    return np.array([[(a + b) / 2.0**WEIGHT_BITS for a, b in zip(*rows, strict=True)] for rows in zip(own, others, strict=True)])
