"""The same network trained in one place: all columns, the first weights of the parties, the same batches and descent."""

from __future__ import annotations

import numpy as np

from tombolo.fl_tasks.learning.nets.split_network import SplitNetwork
from tombolo.fl_tasks.learning.terms import NetworkTerms
from tombolo.fl_tasks.models.reference import Floats, Pooled, Reference
from tombolo.fl_tasks.protocols.vertical_mlp.grid import WEIGHT_BITS
from tombolo.fl_tasks.protocols.vertical_mlp.protocol import NetworkParameters


def _totals(case: Pooled) -> Floats:
    network, params, rows, begun = case.task.section(NetworkTerms), case.params, case.rows, case.begun
    assert isinstance(params, NetworkParameters)
    guest, *hosts = case.columns
    between = {party: (begun[party]["share"], begun[guest]["shares"][party]) for party in hosts}
    whole = SplitNetwork(
        network,
        case.columns,
        guest,
        begun[guest]["w"],
        {party: begun[party]["w"] for party in hosts},
        {party: sum(np.array(share[0], dtype=object) for share in shares) / 2.0**WEIGHT_BITS for party, shares in between.items()},
    )
    y = rows.labels[~rows.test]
    mean, scale = (float(y.mean()), float(y.std()) or 1.0) if network.outcome == "number" else (0.0, 1.0)
    train = {party: x[~rows.test] for party, x in case.columns.items()}
    batches = np.array_split(begun[guest]["order"], begun[guest]["batches"])
    whole.descend(train, (y - mean) / scale, batches, case.rounds, params.step, params.momentum)
    outputs = whole.outputs({party: x[rows.test] for party, x in case.columns.items()}) * scale + mean
    return outputs if outputs.shape[1] > 1 else outputs[:, 0]


REFERENCE = Reference(_totals)
