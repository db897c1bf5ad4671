"""The descriptor of SecureBoost."""

from __future__ import annotations

from tombolo.agreements.protocol import Engine, Protocol, Section
from tombolo.fl_tasks.learning.parameters import Encrypted, Sampled
from tombolo.fl_tasks.learning.terms import BoostingTerms
from tombolo.fl_tasks.learning.vertical.roles import WITHOUT_ARBITER


class SecureBoostParameters(Sampled, Encrypted):
    """The parameters of SecureBoost."""


PROTOCOL = Protocol(
    name="secureboost",
    title="vertical boosted trees, keys at the guest",
    family="vertical",
    roles=WITHOUT_ARBITER,
    sections={"boosting": Section(BoostingTerms, default={})},
    engines={
        "paillier": Engine(
            "tombolo.fl_tasks.protocols.secureboost.programs:PROGRAMS",
            SecureBoostParameters,
            frozenset(
                {
                    "choice.column",
                    "choice.cut",
                    "choice.missing_left",
                    "choice.node",
                    "features.bins",
                    "features.missing",
                    "gradients.row",
                    "histogram.sums",
                    "names.name",
                    "partition.left",
                    "partition.node",
                    "route.column",
                    "route.left",
                    "turn.kept",
                    "turn.stop",
                }
            ),
            numbers="tombolo.fl_tasks.learning.trees.numbers:vertical",
        )
    },
    unvalued="trees and networks have no score per party, so coalitions cannot be valued",
    form="A sum of trees over binned columns",
    model="tombolo.fl_tasks.protocols.secureboost.model:MODEL",
    reference="tombolo.fl_tasks.learning.trees.reference:VERTICAL",
    state="tombolo.fl_tasks.protocols.secureboost.state:ITEMS",
    page="protocols/secureboost.md",
)
