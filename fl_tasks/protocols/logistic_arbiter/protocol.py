"""The descriptor of exact vertical logistic regression with an arbiter."""

from __future__ import annotations

from tombolo.agreements.protocol import Engine, Protocol
from tombolo.fl_tasks.learning.parameters import EncryptedRegression, Regression
from tombolo.fl_tasks.learning.vertical.roles import DEALER_RISK, DEALER_WAIVER, WITH_ARBITER

NUMBERS = "tombolo.fl_tasks.learning.vertical.numbers:logistic"
PROTOCOL = Protocol(
    name="logistic-arbiter",
    title="vertical logistic regression, exact, with an arbiter",
    family="vertical",
    roles=WITH_ARBITER,
    engines={
        "paillier": Engine(
            "tombolo.fl_tasks.protocols.logistic_arbiter.programs:PROGRAMS",
            EncryptedRegression,
            frozenset({"converged.yes", "direction.coefficient", "loss.loss", "step.better", "step.keep", "step.stop"}),
            numbers=NUMBERS,
        ),
        "dealer": Engine(
            "tombolo.fl_tasks.protocols.logistic_arbiter.dealer:PROGRAMS",
            Regression,
            frozenset(
                {"columns.count", "converged.yes", "direction.coefficient", "loss.loss", "step.better", "step.keep", "step.stop"}
            ),
            waiver=DEALER_WAIVER,
            risk=DEALER_RISK,
            numbers=NUMBERS,
        ),
    },
    model="tombolo.fl_tasks.learning.vertical.regression:MODEL",
    reference="tombolo.fl_tasks.learning.regression:LOGISTIC",
    page="protocols/logistic-arbiter.md",
)
