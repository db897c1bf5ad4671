"""All contracts in one registry: every message that may leave a party, for the leakage pages, the audit and the console."""

from __future__ import annotations

from importlib import import_module

from storage.schema import Contract, Message

STAGES = {
    "handshake": "fl_tasks.stages.handshake:HANDSHAKE",
    "seeds": "fl_tasks.stages.handshake:SEEDS",
    "alignment": "fl_tasks.alignment.contract:CONTRACT",
    "kkrt": "fl_tasks.alignment.contract:KKRT",
    "secure-aggregation": "fl_tasks.horizontal.secagg:CONTRACT",
    "evaluation": "fl_tasks.stages.evaluate:METRICS",
    "scoring": "fl_tasks.vertical.scoring:CONTRACT",
    "network-scoring": "fl_tasks.vertical.neural.scoring:CONTRACT",
    "transfer-scoring": "fl_tasks.transfer.scoring:CONTRACT",
    "tree-scoring": "fl_tasks.vertical.secureboost.scoring:CONTRACT",
    "incentives": "fl_tasks.incentives.coalitions:CONTRACT",
    "volume": "fl_tasks.incentives.volume:CONTRACT",
    "lending-index": "fl_tasks.lending.contract:INDEX",
    "settlement": "fl_tasks.settlement.messages:SETTLEMENT",
    "live": "fl_tasks.settlement.messages:LIVE",
    "abort": "fl_tasks.aborts:ABORT",
}
"""Contracts of the stages that every agreement goes through."""

PROTOCOLS = {
    "linear": "fl_tasks.vertical.linear:CONTRACT",
    "logistic-arbiter": "fl_tasks.vertical.arbiter_oracle:CONTRACT",
    "logistic-guest": "fl_tasks.vertical.guest_held:CONTRACT",
    "logistic-taylor": "fl_tasks.vertical.taylor:CONTRACT",
    "linear-dealer": "fl_tasks.vertical.dealer.linear:CONTRACT",
    "logistic-arbiter-dealer": "fl_tasks.vertical.dealer.oracle:CONTRACT",
    "logistic-taylor-dealer": "fl_tasks.vertical.dealer.taylor:CONTRACT",
    "secureboost": "fl_tasks.vertical.secureboost:CONTRACT",
    "vertical-mlp": "fl_tasks.vertical.neural:CONTRACT",
    "vertical-mlp-dealer": "fl_tasks.vertical.neural.dealt:CONTRACT",
    "vertical-mlp-split": "fl_tasks.vertical.neural.split:CONTRACT",
    "horizontal-linear": "fl_tasks.horizontal.newton:CONTRACT",
    "horizontal-logistic": "fl_tasks.horizontal.newton:CONTRACT",
    "horizontal-mlp": "fl_tasks.horizontal.averaging:CONTRACT",
    "horizontal-trees": "fl_tasks.horizontal.trees:CONTRACT",
    "lending-query": "fl_tasks.lending.contract:QUERY",
    "transfer": "fl_tasks.transfer:CONTRACT",
}
"""Contracts of the training protocols, by the name that the terms give them, with the engine where it is not Paillier's."""


def contract(name: str) -> Contract:
    """The contract of a stage or a protocol."""
    module, _, attribute = {**STAGES, **PROTOCOLS}[name].partition(":")
    found: Contract = getattr(import_module(module), attribute)
    return found


def declared(protocol: str, message: str) -> Message | None:
    """How a message is declared under an agreement with this training protocol; None for one that neither it nor a stage knows."""
    for name in (protocol, *STAGES):
        if (name in STAGES or name in PROTOCOLS) and message in contract(name):
            return contract(name)[message]
    return None
