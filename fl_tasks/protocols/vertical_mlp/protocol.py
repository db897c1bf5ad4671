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
_SPLIT_RISK = "with split, hosts can read off labels from derivatives by row, and the guest sees hosts' units by row"


class NetworkParameters(TrainingParameters, Descending):
    """Of vertical networks."""


class EncryptedNetworkParameters(NetworkParameters, Encrypted):
    """The same on ciphertexts."""


def _check(terms: Terms) -> None:
    if terms.task.section(NetworkTerms).bottom is None:
        raise ValueError("task.network.bottom: a party's own units; vertical-mlp needs them")


PROTOCOL = Protocol(
    name="vertical-mlp",
    title="a vertical network with units at every party",
    family="vertical",
    roles=WITHOUT_ARBITER,
    sections={"network": Section(NetworkTerms, default={"bottom": 8, "hidden": [4], "activation": "tanh"})},
    engines={
        "paillier": Engine("tombolo.fl_tasks.protocols.vertical_mlp.encrypted:PROGRAMS", EncryptedNetworkParameters, frozenset()),
        "dealer": Engine(
            "tombolo.fl_tasks.protocols.vertical_mlp.dealt:PROGRAMS",
            NetworkParameters,
            frozenset({"columns.count", "rows.count"}),
            waiver=DEALER_WAIVER,
            risk=DEALER_RISK,
            helper="arbiter",
        ),
        "split": Engine(
            "tombolo.fl_tasks.protocols.vertical_mlp.split:PROGRAMS",
            NetworkParameters,
            frozenset({"readable_slopes.slope", "readable_units.unit"}),
            waiver=SPLIT_WAIVER,
            risk=_SPLIT_RISK,
        ),
    },
    check=_check,
    unvalued="trees and networks have no score per party, so coalitions cannot be valued",
    form="A network of dense layers over standardised columns",
    model="tombolo.fl_tasks.protocols.vertical_mlp.model:MODEL",
    reference="tombolo.fl_tasks.protocols.vertical_mlp.reference:REFERENCE",
    page="protocols/vertical-mlp.md",
)
