"""The descriptor of horizontal linear regression."""

from __future__ import annotations

from tombolo.agreements.horizontal import require_clients
from tombolo.agreements.protocol import Engine, Protocol
from tombolo.fl_tasks.learning.horizontal.roles import CLIENTS, HORIZONTAL, KINDS, check_clients_terms
from tombolo.fl_tasks.learning.parameters import Regression

PROTOCOL = Protocol(
    name="horizontal-linear",
    title="horizontal linear regression by secure aggregation",
    family="horizontal",
    roles=CLIENTS,
    kinds=KINDS,
    outcome="number",
    sections={"horizontal": HORIZONTAL},
    engines={
        None: Engine(
            "tombolo.fl_tasks.learning.horizontal.newton:PROGRAMS",
            Regression,
            frozenset({"statistic.value", "unmask.share", "verdict.loss", "verdict.stop", "weights.weight"}),
            numbers="tombolo.fl_tasks.learning.horizontal.numbers:linear",
        )
    },
    composition=require_clients,
    check=check_clients_terms,
    model="tombolo.fl_tasks.learning.horizontal.regression:MODEL",
    reference="tombolo.fl_tasks.learning.regression:LINEAR",
)
