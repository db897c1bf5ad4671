"""The role programs of vertical networks, the same for all forms of the layer between the parties."""

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
"""The numbers of rows and columns of the table of a party."""


class GuestLayer(Protocol):
    """The side of the guest in the layer between the parties, with its ``shares`` of W by host."""

    shares: dict[str, Share]

    def sums(self, rows: int, batch: int) -> Floats:
        """The addends of the hosts to the joint sums of a batch, added up, shape (rows, sums)."""

    def move(self, delta: Floats) -> None:
        """Move W and the hosts by ``delta`` (rows, sums): derivatives of the mean loss of the batch, times the step size."""


class HostLayer(Protocol):
    """The side of a host, with its ``share`` of W."""

    share: Share

    def show(self, units: Floats) -> None:
        """Give the guest the addend of this host to the joint sums, from ``units`` (rows, units)."""

    def gradient(self, x: Floats, bends: Floats, batch: int) -> Floats:
        """Move W. Returns the gradient of the weights of this host times the step size, shape (inputs + 1, units), biases last.

        ``x`` has shape (rows, inputs). ``bends`` (rows, units) are the derivatives of the units by their sums.
        """


@dataclass(frozen=True)
class NetworkPrograms:
    """The role programs for one form of the layer. A side is made from its shares of W, the shape of the table, and a flag for
    training.

    If W is not ``shared``, the guest has all of it.
    """

    guest_layer: Callable[[Session, dict[str, Share], Shape, bool], GuestLayer]
    host_layer: Callable[[Session, Share, Shape, bool], HostLayer]
    shared: bool = True

    def programs(self, messages: MessageSet, **helpers: HelperProgram) -> Programs[VerticalRows]:
        """The programs of guest and host with these messages, and the programs of further roles in ``helpers``."""
        return Programs(messages, {GUEST: self.guest, HOST: self.host}, helpers)

    def guest(self, session: Session, data: VerticalRows) -> State:
        """The side of the guest. Returns its last state: ``w`` of its layers, ``shares`` by host, and the ``loss`` list."""
        network, outcome = network_of(session), session.terms.task.outcome
        y, batches = guard_label(session, data, binary=outcome == "binary"), batches_of(session, data)
        mean, scale = (float(y.mean()), float(y.std()) or 1.0) if outcome == "number" else (0.0, 1.0)
        y, params = (y - mean) / scale, session.parameters(NetworkParameters)
        rate, momentum = params.step, params.momentum
        guest_net = GuestNet.of(network, data.x.shape[1])
        first = beginning(session, lambda: _guests_first(session, guest_net, network, batches))
        state: State = session.latest or {**first, "loss": []}
        layer = self.guest_layer(session, _shares(state, momentum), data.x.shape, True)
        for number in session.rounds():
            w, mover, total = state["w"], Momentum(rate, momentum, state["velocity"]), 0.0
            layer.shares = _shares(state, momentum)
            for batch, rows in enumerate(batches):
                session.within(batch)
                lost, gradient, delta = guest_net.backward(w, data.x[rows], layer.sums(len(rows), batch), y[rows], outcome)
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
        """The side of a host. Returns its last state, with ``w`` of its layer and its ``share``."""
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
    """The network of the terms."""
    return session.terms.task.section(NetworkTerms)


def batches_of(session: Session, data: VerticalRows) -> Batches:
    """The batches of every round, drawn by the data parties together once per run.

    They stay the same in all rounds, because every sum over a new batch would give a new equation for the derivatives of the rows.
    Raises :class:`BatchTooSmall` if a batch is too small for the weights of this host, :class:`TooFewColumns` and
    :class:`TooManySteps`.
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
    """The most weights for which a host may get the gradient of a batch. The guest checks this too, not only the host."""
    return rows // session.terms.limits.minimum_rows_per_weight


def parted(session: Session, rows: npt.NDArray[np.int64]) -> Batches:
    """Cut rows, in their order, into batches of about ``batch_rows``."""
    return np.array_split(rows, max(1, len(rows) // (session.parameters(NetworkParameters).batch_rows or len(rows))))


def beginning(session: Session, make: Callable[[], State]) -> State:
    """The first values of the training of this party: made once, and kept in its private area."""
    return session.state.once(BEGINNING, make)


def _guests_first(session: Session, guest_net: GuestNet, network: NetworkTerms, batches: Batches) -> State:
    prf = session.prf("weights")
    w = np.concatenate([guest_net.bottom.initial(prf.stream("bottom")), guest_net.top.initial(prf.stream("top"))])
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
