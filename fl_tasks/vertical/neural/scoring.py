"""Scores of aligned rows with a vertical network: steps 1 to 3 again, then the guest's layers; recipients get the guest's totals."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from fl_tasks.models.towers import TowerPart
from fl_tasks.session import Session
from fl_tasks.vertical.key_holder import own_key, peer_key
from fl_tasks.vertical.neural.contract import FORWARD, network_of
from fl_tasks.vertical.neural.forward import activated, on_grid, send_sums, send_units
from fl_tasks.vertical.neural.guest import Tower, joint_sums
from fl_tasks.vertical.neural.grid import Floats
from fl_tasks.vertical.scoring import WrongScoreCount
from storage.roles import DATA, GUEST
from storage.schema import Contract, Disclosed, Message

BATCH = 4096

MESSAGES = (
    *FORWARD,
    Message(
        "total",
        GUEST,
        DATA,
        {"score": Disclosed("float64", "the score", "rows that the agreement lets this recipient score")},
        learns="the total score per row (and class)",
        step="total",
        limit="parties that receive scores by the agreement",
    ),
)
CONTRACT = Contract("network-scoring", *MESSAGES)


def exchange_scores(session: Session, part: TowerPart, table: pa.Table, recipients: Iterable[str]) -> Floats | None:
    """Give every recipient the total score of each row: shape (rows,), or (rows, classes) for several classes.

    Every data party calls it once per stage with the same recipients. Returns None elsewhere. Raises WrongScoreCount, and what the
    encrypted layer raises.
    """
    wanted = list(recipients)
    total = _guest(session, part, table) if session.role == GUEST else _host(session, part, table)
    session.within(None)
    for party in wanted if session.role == GUEST else ():
        if party != session.me:
            session.send("total", party, score=total.ravel())
    if session.me not in wanted:
        return None
    if session.role != GUEST:
        total = _heard(session, table.num_rows)
    return total[:, 0] if total.shape[1] == 1 else total


def _guest(session: Session, part: TowerPart, table: pa.Table) -> Floats:
    assert part.top is not None
    tower = Tower(part.bottom, part.top, part.top.activation)
    keys = {party: peer_key(session, party) for party in part.shares}
    found = []
    for batch, start in enumerate(range(0, table.num_rows, BATCH)):
        session.within(batch)
        x = part.encoder.transform(table.slice(start, BATCH))
        sums = joint_sums(session, keys, part.shares, len(x), batch)
        found.append(tower.outputs(np.concatenate([part.w, part.above]), x, sums))
    outputs = np.concatenate(found) if found else np.zeros((0, part.top.sizes[-1]))
    return outputs * part.label_scale + part.label_mean


def _host(session: Session, part: TowerPart, table: pa.Table) -> Floats:
    key = own_key(session)
    session.send("public_key", session.guest, key=key.public.to_bytes())
    for batch, start in enumerate(range(0, table.num_rows, BATCH)):
        session.within(batch)
        x = part.encoder.transform(table.slice(start, BATCH))
        alpha = on_grid(session, activated(part.bottom.activation, part.bottom.outputs(part.w, x)))
        send_units(session, key.public, alpha)
        send_sums(session, key, alpha, part.shares[session.me])
    return np.zeros((0, 1))


def _heard(session: Session, rows: int) -> Floats:
    network = network_of(session)
    outputs = network.classes if network.outcome == "classes" else 1
    score = session.values(session.receive("total", session.guest), "score").to_numpy(zero_copy_only=False)
    if len(score) != rows * outputs or not np.isfinite(score).all():
        raise WrongScoreCount(f"{len(score)} scores for {rows} rows.", party=session.guest)
    return np.asarray(score, dtype=np.float64).reshape(rows, outputs)
