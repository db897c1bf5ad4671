"""The encrypted network learns what the same network learns in one place, from the same first weights."""

from __future__ import annotations

import numpy as np
import pytest

from fl_tasks.vertical import neural
from fl_tasks.vertical.neural.contract import batches_of
from fl_tasks.vertical.neural.guest import Tower
from fl_tasks.vertical.neural.guest import beginning as guests_beginning
from fl_tasks.vertical.neural.host import beginning as hosts_beginning
from tests.federation import FOREVER, quiet
from tests.fl_tasks.vertical.neural.parties import Whole, blocks, layout, sample, train


def first_states(fed, dealt, run="run-1"):
    """What every party begins with: it follows from the run's secrets."""
    from fl_tasks.nets.dense import Dense

    found = {}
    for party in fed.parties:
        with fed.place(party).session(run, neural.CONTRACT, "train", FOREVER, quiet) as session:
            network, columns = session.terms.task.network, dealt[party].x.shape[1]
            if party == fed.guest:
                found[party] = guests_beginning(session, Tower.of(network, columns), network, 0.9)
            else:
                net = Dense((columns, network.bottom), network.activation)
                found[party] = hosts_beginning(session, net, network.hidden[0], 0.9)
    return found


def batches(fed, dealt, run="run-1"):
    with fed.place(fed.guest).session(run, neural.CONTRACT, "train", FOREVER, quiet) as session:
        return batches_of(session, dealt[fed.guest])


@pytest.mark.parametrize(("hosts", "outcome", "activation"), [(1, "binary", "tanh"), (2, "number", "relu"), (1, "classes", "tanh")])
def test_equal_to_the_network_in_one_place(tmp_path, hosts, outcome, activation):
    network = {"outcome": outcome, "activation": activation, "hidden": [2, 3], "classes": 3 if outcome == "classes" else 2}
    fed = layout(tmp_path, hosts, network, batch_rows=120)
    x, y = sample(250, 4 if hosts == 1 else 6, outcome)
    dealt = blocks(fed, x, y)
    run = fed.start(rounds=2)
    whole = Whole(fed, first_states(fed, dealt), dealt)
    given = {party: block.x for party, block in dealt.items()}
    scaled = (y - y.mean()) / y.std() if outcome == "number" else y
    loss = whole.descend(given, scaled, batches(fed, dealt), 2, 0.5, 0.9)
    states = train(fed, dealt)
    learnt = Whole(fed, states, dealt)
    assert states["clinic"]["loss"] == pytest.approx(loss, abs=1e-3)
    assert learnt.outputs(given) == pytest.approx(whole.outputs(given), abs=2e-3)
    for party in whole.hosts:
        assert learnt.between[party] == pytest.approx(whole.between[party], abs=1e-3)
    assert run == "run-1"
