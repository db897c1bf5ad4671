"""Scores of aligned rows with a vertical network: forward through the layer between the parties, then the guest's layers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tombolo.fl_tasks.learning.nets.split_network import GuestNet, activated
from tombolo.fl_tasks.learning.vertical.messages import TOTAL
from tombolo.fl_tasks.learning.vertical.scoring import WrongScoreCount
from tombolo.fl_tasks.protocols.vertical_mlp import dealing, dealt, encrypted, split
from tombolo.fl_tasks.protocols.vertical_mlp.grid import Floats, Share
from tombolo.fl_tasks.protocols.vertical_mlp.messages import FORWARD
from tombolo.fl_tasks.protocols.vertical_mlp.part import NetworkPart
from tombolo.fl_tasks.protocols.vertical_mlp.programs import NetworkPrograms, network_of
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.roles import GUEST
from tombolo.storage.schema import MessageSet

BATCH = 4096

MESSAGES = MessageSet(
    "network-scoring",
    *FORWARD,
    *dealing.FORWARD,
    split.READABLE_UNITS,
    TOTAL,
)


def exchange_scores(session: Session, part: NetworkPart, x: Floats, recipients: Iterable[str]) -> Floats | None:
    """Give every recipient the total score of each encoded row: shape (rows,), or (rows, classes) for several classes.

    Every data party calls it once per stage with the same recipients. Returns None at other parties. Raises WrongScoreCount, and
    the errors of the layer between the parties.
    """
    wanted = list(recipients)
    total = _guest(session, part, x) if session.role == GUEST else _host(session, part, x)
    session.within(None)
    for party in wanted if session.role == GUEST else ():
        if party != session.me:
            session.send("total", party, score=total.ravel())
    if session.me not in wanted:
        return None
    if session.role != GUEST:
        total = _received(session, len(x))
    return total[:, 0] if total.shape[1] == 1 else total


def assist(session: Session) -> None:
    """The part of the arbiter in :func:`exchange_scores`: with the engine ``dealer`` it deals masks."""
    if session.terms.task.engine == "dealer":
        dealer = dealing.Dealer(session, False)
        for batch, start in enumerate(range(0, dealer.rows, BATCH)):
            dealer.deal(min(BATCH, dealer.rows - start), batch)
        session.within(None)


def _guest(session: Session, part: NetworkPart, rows: Floats) -> Floats:
    assert part.top is not None
    guest_net = GuestNet(part.bottom, part.top, part.top.activation)
    shares = {party: Share.still(grid) for party, grid in part.shares.items()}
    layer = _programs(session).guest_layer(session, shares, rows.shape, False)
    pieces = []
    for batch, start in enumerate(range(0, len(rows), BATCH)):
        session.within(batch)
        x = rows[start : start + BATCH]
        pieces.append(guest_net.outputs(np.concatenate([part.w, part.above]), x, layer.sums(len(x), batch)))
    outputs = np.concatenate(pieces) if pieces else np.zeros((0, part.top.sizes[-1]))
    return outputs * part.label_scale + part.label_mean


def _host(session: Session, part: NetworkPart, rows: Floats) -> Floats:
    share, shape = Share.still(part.shares[session.me]), rows.shape
    layer = _programs(session).host_layer(session, share, shape, False)
    for batch, start in enumerate(range(0, len(rows), BATCH)):
        session.within(batch)
        x = rows[start : start + BATCH]
        layer.show(activated(part.bottom.activation, part.bottom.outputs(part.w, x)))
    return np.zeros((0, 1))


def _programs(session: Session) -> NetworkPrograms:
    return {"split": split.NETWORK, "dealer": dealt.NETWORK}.get(session.terms.task.engine or "", encrypted.NETWORK)


def _received(session: Session, rows: int) -> Floats:
    network = network_of(session)
    outputs = network.classes if network.outcome == "classes" else 1
    score = session.values(session.receive("total", session.guest, rows * outputs), "score").to_numpy(zero_copy_only=False)
    if len(score) != rows * outputs or not np.isfinite(score).all():
        raise WrongScoreCount(f"{len(score)} scores for {rows} rows.", party=session.guest)
    return np.asarray(score, dtype=np.float64).reshape(rows, outputs)
