"""A host's side: one layer of its own units, and its share of the weights between them and the guest."""

from __future__ import annotations

from typing import Any

import numpy as np

from fl_tasks.checkpoints import State
from fl_tasks.nets.dense import Dense
from fl_tasks.session import Session
from fl_tasks.vertical.block import Block
from fl_tasks.vertical.key_holder import own_key, peer_key
from fl_tasks.vertical.neural.backward import Slopes
from fl_tasks.vertical.neural.contract import batches_of, network_of
from fl_tasks.vertical.neural.forward import activated, bent, on_grid, send_sums, send_units
from fl_tasks.vertical.neural.grid import Share


def host(session: Session, block: Block) -> State:
    """A host's side; returns the last state with ``w`` of its layer and its ``share``."""
    network, momentum, batches = network_of(session), float(session.params["momentum"]), batches_of(session, block)
    assert network.bottom is not None
    net = Dense((block.x.shape[1], network.bottom))
    state: State = session.latest or beginning(session, net, network.hidden[0], momentum)
    key = own_key(session)
    session.send("public_key", session.guest, key=key.public.to_bytes())
    guests = peer_key(session, session.guest)
    for number in session.rounds(int(session.params["rounds"])):
        w, velocity, share = state["w"], state["velocity"], Share.of(state["share"], momentum)
        for batch, rows in enumerate(batches):
            session.within(batch)
            x = block.x[rows]
            units = activated(network.activation, net.outputs(w, x))
            alpha = on_grid(session, units)
            send_units(session, key.public, alpha)
            send_sums(session, key, alpha, share.w)
            slopes = Slopes(session, guests, len(rows), network.bottom, network.hidden[0], batch)
            drawn = slopes.send_step(alpha)
            gradient = slopes.gradient(x, bent(network.activation, units), share.w)
            share.move(drawn)
            velocity = momentum * velocity - gradient.ravel()
            w = w + velocity
        session.within(None)
        state = session.checkpoint({"w": w, "velocity": velocity, "share": share.document()})
        session.report(round=number)
    return state


def beginning(session: Session, net: Dense, sums: int, momentum: float) -> dict[str, Any]:
    """The first weights; they follow from the run's secrets."""
    prf = session.prf("weights")
    share = Share.initial(prf.stream("share"), net.sizes[-1], sums, momentum)
    w = net.initial(prf.stream("bottom"))
    return {"w": w, "velocity": np.zeros(net.count), "share": share.document()}
