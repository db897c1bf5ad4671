"""The descriptor of vertical networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tombolo.agreements.parameters import TrainingParameters
from tombolo.agreements.protocol import Engine, Protocol, Section
from tombolo.fl_tasks.learning.parameters import Descending, Encrypted
from tombolo.fl_tasks.learning.terms import NetworkTerms
from tombolo.fl_tasks.learning.vertical.roles import DEALER_RISK, DEALER_WAIVER, WITHOUT_ARBITER

if TYPE_CHECKING:
    from tombolo.agreements.terms import Terms

SPLIT_WAIVER = "expose-labels-and-features-by-split"
_SPLIT_RISK = (
    "with split, hosts can read most labels from the derivatives of rows, and the guest sees the units of hosts for each row"
)


class NetworkParameters(TrainingParameters, Descending):
    """The parameters of vertical networks."""


class EncryptedNetworkParameters(NetworkParameters, Encrypted):
    """The parameters of vertical networks on ciphertexts."""


def _check(terms: Terms) -> None:
    if terms.task.section(NetworkTerms).bottom is None:
        raise ValueError("task.network.bottom: say how many units each party has; vertical-mlp needs it")


PROTOCOL = Protocol(
    name="vertical-mlp",
    title="a vertical network with units at every party",
    family="vertical",
    roles=WITHOUT_ARBITER,
    sections={"network": Section(NetworkTerms, default={"bottom": 8, "hidden": [4], "activation": "tanh"})},
    engines={
        "paillier": Engine(
            "tombolo.fl_tasks.protocols.vertical_mlp.encrypted:PROGRAMS",
            EncryptedNetworkParameters,
            frozenset(),
            numbers="tombolo.fl_tasks.protocols.vertical_mlp.numbers:hidden",
        ),
        "dealer": Engine(
            "tombolo.fl_tasks.protocols.vertical_mlp.dealt:PROGRAMS",
            NetworkParameters,
            frozenset({"columns.count", "rows.count"}),
            waiver=DEALER_WAIVER,
            risk=DEALER_RISK,
            helper="arbiter",
            numbers="tombolo.fl_tasks.protocols.vertical_mlp.numbers:hidden",
        ),
        "split": Engine(
            "tombolo.fl_tasks.protocols.vertical_mlp.split:PROGRAMS",
            NetworkParameters,
            frozenset({"readable_slopes.slope", "readable_units.unit"}),
            waiver=SPLIT_WAIVER,
            risk=_SPLIT_RISK,
            numbers="tombolo.fl_tasks.protocols.vertical_mlp.numbers:split",
        ),
    },
    check=_check,
    unvalued="trees and networks have no score per party, so coalitions cannot be valued",
    form="A network of dense layers over standardised columns",
    model="tombolo.fl_tasks.protocols.vertical_mlp.model:MODEL",
    reference="tombolo.fl_tasks.protocols.vertical_mlp.reference:REFERENCE",
    page="protocols/vertical-mlp.md",
)
