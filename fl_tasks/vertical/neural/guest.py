"""The guest's side: units of its own, shares of the weights of every host's, the layers above, and the labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from contracts.task import NetworkTerms
from fl_tasks.checkpoints import State
from fl_tasks.nets.dense import Dense
from fl_tasks.nets.losses import losses, slopes
from fl_tasks.nets.optimisers import Momentum
from fl_tasks.session import Session
from fl_tasks.vertical.block import Block, guard_label
from fl_tasks.vertical.key_holder import own_key, peer_key
from fl_tasks.vertical.neural.backward import receive_step, send_slopes, serve_gradient
from fl_tasks.vertical.neural.contract import TooLarge, batches_of, network_of
from fl_tasks.vertical.neural.forward import Sums, activated, bent
from fl_tasks.vertical.neural.grid import Floats, Share


@dataclass(frozen=True)
class Tower:
    """The guest's layers: ``bottom`` from its columns to its addend of the sums, ``top`` from the joint units to the outputs."""

    bottom: Dense
    top: Dense
    activation: str

    @classmethod
    def of(cls, network: NetworkTerms, columns: int) -> Tower:
        assert network.bottom is not None
        outputs = network.classes if network.outcome == "classes" else 1
        bottom = Dense((columns, network.bottom, network.hidden[0]), network.activation)
        return cls(bottom, Dense((*network.hidden, outputs), network.activation), network.activation)

    def outputs(self, w: Floats, x: Floats, sums: Floats) -> Floats:
        """Of rows ``x`` where the hosts' addends of the sums are ``sums``."""
        lower, upper = w[: self.bottom.count], w[self.bottom.count :]
        return self.top.outputs(upper, activated(self.activation, self.bottom.outputs(lower, x) + sums))

    def backward(self, w: Floats, x: Floats, sums: Floats, y: Floats, outcome: str) -> tuple[Floats, Floats, Floats]:
        """Rows' losses (n,), the gradient of their sum (count,), and rows' derivatives by the joint sums (n, sums)."""
        lower, upper = w[: self.bottom.count], w[self.bottom.count :]
        below = self.bottom.forward(lower, x)
        units = activated(self.activation, below[-1] + sums)
        above = self.top.forward(upper, units)
        gradient, by_units = self.top.backward(upper, above, slopes(outcome, above[-1], y))
        delta = by_units * bent(self.activation, units)
        return losses(outcome, above[-1], y), np.concatenate([self.bottom.backward(lower, below, delta)[0], gradient]), delta


def guest(session: Session, block: Block) -> State:
    """The guest's side; returns the last state with ``w`` of its layers, the ``shares`` by host, and the ``loss`` list."""
    network, outcome = network_of(session), session.terms.task.outcome
    y, batches = guard_label(session, block, binary=outcome == "binary"), batches_of(session, block)
    mean, scale = (float(y.mean()), float(y.std()) or 1.0) if outcome == "number" else (0.0, 1.0)
    y, rate, momentum = (y - mean) / scale, float(session.params["step"]), float(session.params["momentum"])
    tower = Tower.of(network, block.x.shape[1])
    first = session.latest or beginning(session, tower, network, momentum)
    state: State = {**first, "label_mean": mean, "label_scale": scale}
    key = own_key(session)
    session.send("public_key", key=key.public.to_bytes())
    keys = {party: peer_key(session, party) for party in session.hosts}
    for number in session.rounds(int(session.params["rounds"])):
        w, total = state["w"], 0.0
        mover = Momentum(rate, momentum, state["velocity"])
        shares = {party: Share.of(document, momentum) for party, document in state["shares"].items()}
        for batch, rows in enumerate(batches):
            session.within(batch)
            sums = joint_sums(session, keys, {party: share.w for party, share in shares.items()}, len(rows), batch)
            lost, gradient, delta = tower.backward(w, block.x[rows], sums, y[rows], outcome)
            for party, share in shares.items():
                send_slopes(session, key.public, party, rate / len(rows) * delta, share.w)
            for party, share in shares.items():
                step = receive_step(session, key, party, share.w.shape)
                serve_gradient(session, key, party)
                share.move(-step)
            w, mover = mover.move(w, gradient / len(rows))
            total += float(lost.sum())
        session.within(None)
        loss = total / block.rows
        if not np.isfinite([loss, *w]).all():
            raise TooLarge(party=session.me)
        kept: dict[str, Any] = {"shares": {party: share.document() for party, share in shares.items()}}
        kept |= {"w": w, "velocity": mover.velocity, "loss": [*state["loss"], loss]}
        state = session.checkpoint({**kept, "label_mean": mean, "label_scale": scale})
        session.report(round=number, loss=loss)
    return state


def joint_sums(session: Session, keys: Mapping[str, Any], shares: Mapping[str, Any], rows: int, batch: int) -> Floats:
    """The sum over the hosts of their addends of the joint sums, shape (rows, sums)."""
    asked = {party: Sums(session, party, keys[party], rows, batch) for party in keys}
    for party, one in asked.items():
        one.ask(shares[party])
    found = [one.hear(shares[party].shape[1]) for party, one in asked.items()]
    return np.asarray(np.sum(found, axis=0))


def beginning(session: Session, tower: Tower, network: NetworkTerms, momentum: float) -> dict[str, Any]:
    """The first weights, and shares that are half of the hosts'; they follow from the run's secrets."""
    prf = session.prf("weights")
    assert network.bottom is not None
    units, sums = network.bottom, network.hidden[0]
    shares = {party: Share.initial(prf.stream("share", party), units, sums, momentum).document() for party in session.hosts}
    w = np.concatenate([tower.bottom.initial(prf.stream("bottom")), tower.top.initial(prf.stream("top"))])
    return {"w": w, "velocity": np.zeros_like(w), "shares": shares, "loss": []}
