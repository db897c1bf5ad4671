"""The role programs of vertical networks, whatever the layer between the parties is computed on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.crypto.prf import Stream
from tombolo.fl_tasks.learning.nets.dense import Dense
from tombolo.fl_tasks.learning.nets.optimisers import Momentum
from tombolo.fl_tasks.learning.nets.split_network import GuestNet, activated, bends, host_net
from tombolo.fl_tasks.learning.terms import NetworkTerms
from tombolo.fl_tasks.learning.vertical.rows import BatchTooSmall, VerticalRows, guard_label
from tombolo.fl_tasks.learning.vertical.state import BEGINNING
from tombolo.fl_tasks.protocols.vertical_mlp.grid import MOST_STEPS, Floats, Share
from tombolo.fl_tasks.protocols.vertical_mlp.messages import TooFewColumns, TooLarge, TooManySteps
from tombolo.fl_tasks.protocols.vertical_mlp.protocol import NetworkParameters
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.programs import HelperProgram, Programs
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.roles import GUEST, HOST
from tombolo.storage.schema import MessageSet

Batches = list[npt.NDArray[np.int64]]
Shape = tuple[int, ...]
"""Of a party's table: rows and columns."""


class GuestLayer(Protocol):
    """The guest's side of the layer between the parties; ``shares`` of W by host."""

    shares: dict[str, Share]

    def sums(self, rows: int, batch: int) -> Floats:
        """The hosts' addends of the joint sums of a batch, added up, shape (rows, sums)."""

    def move(self, delta: Floats) -> None:
        """Let W and the hosts move by ``delta`` (rows, sums): derivatives of the batch's mean loss times the step size."""


class HostLayer(Protocol):
    """A host's side; ``share`` of its W."""

    share: Share

    def show(self, units: Floats) -> None:
        """Let the guest have this host's addend of the joint sums; ``units`` (rows, units)."""

    def gradient(self, x: Floats, bends: Floats, batch: int) -> Floats:
        """Move W; the gradient of this host's own weights times the step size, shape (inputs + 1, units), biases last.

        ``x`` (rows, inputs), ``bends`` (rows, units) the units' derivatives by their sums.
        """


@dataclass(frozen=True)
class NetworkPrograms:
    """The role programs for one kind of layer; sides are made with shares of W, with how many rows and columns the party has, and
    with whether they will learn.

    Where W is not ``shared`` the guest has all of it.
    """

    guest_layer: Callable[[Session, dict[str, Share], Shape, bool], GuestLayer]
    host_layer: Callable[[Session, Share, Shape, bool], HostLayer]
    shared: bool = True

    def programs(self, messages: MessageSet, **helpers: HelperProgram) -> Programs[VerticalRows]:
        """With the programs of further roles."""
        return Programs(messages, {GUEST: self.guest, HOST: self.host}, helpers)

    def guest(self, session: Session, data: VerticalRows) -> State:
        """The guest's side; returns the last state with ``w`` of its layers, the ``shares`` by host, and the ``loss`` list."""
        network, outcome = network_of(session), session.terms.task.outcome
        y, batches = guard_label(session, data, binary=outcome == "binary"), batches_of(session, data)
        mean, scale = (float(y.mean()), float(y.std()) or 1.0) if outcome == "number" else (0.0, 1.0)
        y, params = (y - mean) / scale, session.parameters(NetworkParameters)
        rate, momentum = params.step, params.momentum
        tower = GuestNet.of(network, data.x.shape[1])
        first = beginning(session, lambda: _guests_first(session, tower, network, batches))
        state: State = session.latest or {**first, "loss": []}
        layer = self.guest_layer(session, _shares(state, momentum), data.x.shape, True)
        for number in session.rounds():
            w, mover, total = state["w"], Momentum(rate, momentum, state["velocity"]), 0.0
            layer.shares = _shares(state, momentum)
            for batch, rows in enumerate(batches):
                session.within(batch)
                lost, gradient, delta = tower.backward(w, data.x[rows], layer.sums(len(rows), batch), y[rows], outcome)
                layer.move(rate / len(rows) * delta)
                w, mover = mover.move(w, gradient / len(rows))
                total += float(lost.sum())
            session.within(None)
            loss = total / data.rows
            if not np.isfinite([loss, *w]).all():
                raise TooLarge(party=session.me)
            kept: dict[str, Any] = {"shares": {party: share.document() for party, share in layer.shares.items()}}
            kept |= {"w": w, "velocity": mover.velocity, "label_mean": mean, "label_scale": scale}
            state = session.checkpoint({**kept, "loss": [*state["loss"], loss]})
            session.report(round=number, loss=loss)
        return state

    def host(self, session: Session, data: VerticalRows) -> State:
        """A host's side; returns the last state with ``w`` of its layer and its ``share``."""
        network, batches = network_of(session), batches_of(session, data)
        momentum = session.parameters(NetworkParameters).momentum
        net = host_net(network, data.x.shape[1])
        state: State = session.latest or beginning(session, lambda: self._hosts_first(session, network, net))
        layer = self.host_layer(session, Share.of(state["share"], momentum), data.x.shape, True)
        for number in session.rounds():
            w, velocity, layer.share = state["w"], state["velocity"], Share.of(state["share"], momentum)
            for batch, rows in enumerate(batches):
                session.within(batch)
                x = data.x[rows]
                units = activated(network.activation, net.outputs(w, x))
                layer.show(units)
                velocity = momentum * velocity - layer.gradient(x, bends(network.activation, units), batch).ravel()
                w = w + velocity
            session.within(None)
            if not np.isfinite(w).all():
                raise TooLarge(party=session.me)
            state = session.checkpoint({"w": w, "velocity": velocity, "share": layer.share.document()})
            session.report(round=number)
        return state

    def _hosts_first(self, session: Session, network: NetworkTerms, net: Dense) -> State:
        prf = session.prf("weights")
        w, share = net.initial(prf.stream("bottom")), _share(prf.stream("share"), network)
        return {"w": w, "velocity": np.zeros_like(w), "share": (share if self.shared else Share.still(share.w * 0)).document()}


def network_of(session: Session) -> NetworkTerms:
    """The agreed network."""
    return session.terms.task.section(NetworkTerms)


def batches_of(session: Session, data: VerticalRows) -> Batches:
    """The batches of every round, drawn by the data parties together once per run.

    They stay the same, because sums over ever new batches would be ever new equations for the rows' derivatives. Raises
    :class:`BatchTooSmall` where a batch is too small for this host's weights, :class:`TooFewColumns` and :class:`TooManySteps`.
    """
    network, limits = network_of(session), session.terms.limits
    assert network.bottom is not None
    batches = parted(session, session.common().stream("batches").permutation(data.rows))
    if len(batches) * session.parameters(NetworkParameters).rounds > MOST_STEPS:
        raise TooManySteps(party=session.me)
    if session.role == HOST and data.x.shape[1] <= network.hidden[0]:
        raise TooFewColumns(party=session.me)
    weights = (data.x.shape[1] + 1) * network.bottom if session.role == HOST else 0
    least = max(limits.minimum_batch, limits.minimum_rows_per_weight * weights)
    if len(batches[-1]) < least:
        raise BatchTooSmall(f"{len(batches[-1])} rows for {weights} weights; at least {least} are needed.", party=session.me)
    return batches


def most_weights(session: Session, rows: int) -> int:
    """For how many weights a host may have gradients of a batch: the guest does not rely on the host's own guard."""
    return rows // session.terms.limits.minimum_rows_per_weight


def parted(session: Session, rows: npt.NDArray[np.int64]) -> Batches:
    """Rows in an order, as the agreed number of batches."""
    return np.array_split(rows, max(1, len(rows) // (session.parameters(NetworkParameters).batch_rows or len(rows))))


def beginning(session: Session, make: Callable[[], State]) -> State:
    """What this party's training begins with, kept in its private area; made once."""
    return session.state.once(BEGINNING, make)


def _guests_first(session: Session, tower: GuestNet, network: NetworkTerms, batches: Batches) -> State:
    prf = session.prf("weights")
    w = np.concatenate([tower.bottom.initial(prf.stream("bottom")), tower.top.initial(prf.stream("top"))])
    return {
        "w": w,
        "velocity": np.zeros_like(w),
        "shares": {party: _share(prf.stream("share", party), network).document() for party in session.hosts},
        "order": np.concatenate(batches),
        "batches": len(batches),
    }


def _share(stream: Stream, network: NetworkTerms) -> Share:
    assert network.bottom is not None
    return Share.initial(stream, network.bottom, network.hidden[0])


def _shares(state: Mapping[str, Any], momentum: float) -> dict[str, Share]:
    return {party: Share.of(document, momentum) for party, document in state["shares"].items()}
