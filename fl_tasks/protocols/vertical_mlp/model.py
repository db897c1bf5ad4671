"""Models of vertical networks."""

from __future__ import annotations

from typing import Any

from tombolo.fl_tasks.learning.nets.layers import layers_document
from tombolo.fl_tasks.learning.nets.split_network import GuestNet, host_net
from tombolo.fl_tasks.learning.terms import NetworkTerms
from tombolo.fl_tasks.learning.vertical import regression
from tombolo.fl_tasks.models.family import VerticalModel
from tombolo.fl_tasks.protocols.vertical_mlp import scoring
from tombolo.fl_tasks.protocols.vertical_mlp.part import NetworkPart, shares_document
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.tables.encoding import Encoder
from tombolo.storage.roles import GUEST


def _document(session: Session, encoder: Encoder, state: State) -> dict[str, Any]:
    """At a host: its layer, and its share of the weights to the guest. At the guest: its layers, and its shares."""
    network, columns = session.terms.task.section(NetworkTerms), len(encoder.names)
    if session.role != GUEST:
        bottom, top, w = host_net(network, columns), [], state["w"]
        held = {"shares": shares_document({session.me: state["share"][0]}), "label_mean": 0.0, "label_scale": 1.0}
    else:
        guest_net = GuestNet.of(network, columns)
        bottom, w = guest_net.bottom, state["w"][: guest_net.bottom.count]
        top = layers_document(guest_net.top, state["w"][guest_net.bottom.count :])
        shares = {party: document[0] for party, document in state["shares"].items()}
        held = {"shares": shares_document(shares), **{name: float(state[name]) for name in ("label_mean", "label_scale")}}
    return {"layers": layers_document(bottom, w), "top": top, "activation": network.activation, **held}


MODEL = VerticalModel(
    NetworkPart,
    Encoder.from_document,
    _document,
    scoring.exchange_scores,
    scoring.MESSAGES,
    assist=scoring.assist,
    fit=regression.fit,
    rows=regression.rows,
)
