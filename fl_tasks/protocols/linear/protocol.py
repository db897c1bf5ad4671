"""The descriptor of vertical linear regression."""

from __future__ import annotations

from tombolo.agreements.protocol import Engine, Protocol
from tombolo.fl_tasks.learning.parameters import BatchedRegression, Regression
from tombolo.fl_tasks.learning.vertical.roles import DEALER_RISK, DEALER_WAIVER, WITH_ARBITER

NUMBERS = "tombolo.fl_tasks.learning.vertical.numbers:quadratic"
PROTOCOL = Protocol(
    name="linear",
    title="vertical linear regression with an arbiter",
    family="vertical",
    roles=WITH_ARBITER,
    outcome="number",
    wire=2,  # batches are drawn once per run
    engines={
        "paillier": Engine(
            "tombolo.fl_tasks.protocols.linear.programs:PROGRAMS",
            BatchedRegression,
            frozenset({"converged.yes", "loss.loss", "step.alpha", "step.beta", "step.stop"}),
            numbers=NUMBERS,
        ),
        "dealer": Engine(
            "tombolo.fl_tasks.protocols.linear.dealer:PROGRAMS",
            Regression,
            frozenset({"columns.count", "converged.yes", "loss.loss", "scale.exponent", "step.alpha", "step.beta", "step.stop"}),
            waiver=DEALER_WAIVER,
            risk=DEALER_RISK,
            numbers=NUMBERS,
        ),
    },
    model="tombolo.fl_tasks.learning.vertical.regression:MODEL",
    reference="tombolo.fl_tasks.learning.regression:LINEAR",
    page="protocols/linear.md",
)
