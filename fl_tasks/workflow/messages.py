"""All contracts in one registry: every message that may leave a party, for the leakage pages, the audit and the console."""

from __future__ import annotations

from importlib import import_module

from tombolo.storage.schema import Message, MessageSet

STAGES = {
    "handshake": "tombolo.fl_tasks.workflow.handshake:HANDSHAKE",
    "seeds": "tombolo.fl_tasks.workflow.handshake:SEEDS",
    "alignment": "tombolo.fl_tasks.alignment.messages:MESSAGES",
    "kkrt": "tombolo.fl_tasks.alignment.messages:KKRT",
    "secure-aggregation": "tombolo.fl_tasks.learning.horizontal.secagg:MESSAGES",
    "evaluation": "tombolo.fl_tasks.workflow.evaluate:METRICS",
    "scoring": "tombolo.fl_tasks.learning.vertical.scoring:MESSAGES",
    "network-scoring": "tombolo.fl_tasks.protocols.vertical_mlp.scoring:MESSAGES",
    "transfer-scoring": "tombolo.fl_tasks.protocols.transfer.scoring:MESSAGES",
    "tree-scoring": "tombolo.fl_tasks.protocols.secureboost.scoring:MESSAGES",
    "incentives": "tombolo.fl_tasks.incentives.coalitions:MESSAGES",
    "volume": "tombolo.fl_tasks.incentives.volume:MESSAGES",
    "lending-index": "tombolo.fl_tasks.protocols.lending_query.messages:INDEX",
    "settlement": "tombolo.fl_tasks.ledger.settlement.messages:SETTLEMENT",
    "live": "tombolo.fl_tasks.ledger.settlement.messages:LIVE",
    "abort": "tombolo.fl_tasks.runtime.aborts:ABORT",
}
"""Contracts of the stages that every agreement goes through."""

PROTOCOLS = {
    "linear": "tombolo.fl_tasks.protocols.linear.programs:MESSAGES",
    "logistic-arbiter": "tombolo.fl_tasks.protocols.logistic_arbiter.programs:MESSAGES",
    "logistic-guest": "tombolo.fl_tasks.protocols.logistic_guest.programs:MESSAGES",
    "logistic-taylor": "tombolo.fl_tasks.protocols.logistic_taylor.programs:MESSAGES",
    "linear-dealer": "tombolo.fl_tasks.protocols.linear.dealer:MESSAGES",
    "logistic-arbiter-dealer": "tombolo.fl_tasks.protocols.logistic_arbiter.dealer:MESSAGES",
    "logistic-taylor-dealer": "tombolo.fl_tasks.protocols.logistic_taylor.dealer:MESSAGES",
    "secureboost": "tombolo.fl_tasks.protocols.secureboost.messages:MESSAGES",
    "vertical-mlp": "tombolo.fl_tasks.protocols.vertical_mlp.messages:MESSAGES",
    "vertical-mlp-dealer": "tombolo.fl_tasks.protocols.vertical_mlp.dealt:MESSAGES",
    "vertical-mlp-split": "tombolo.fl_tasks.protocols.vertical_mlp.split:MESSAGES",
    "horizontal-linear": "tombolo.fl_tasks.learning.horizontal.newton:MESSAGES",
    "horizontal-logistic": "tombolo.fl_tasks.learning.horizontal.newton:MESSAGES",
    "horizontal-mlp": "tombolo.fl_tasks.protocols.horizontal_mlp.programs:MESSAGES",
    "horizontal-trees": "tombolo.fl_tasks.protocols.horizontal_trees.messages:MESSAGES",
    "lending-query": "tombolo.fl_tasks.protocols.lending_query.messages:QUERY",
    "transfer": "tombolo.fl_tasks.protocols.transfer.messages:MESSAGES",
}
"""Contracts of the training protocols, by the name that the terms give them, with the engine where it is not Paillier's."""


def message_set(name: str) -> MessageSet:
    """The contract of a stage or a protocol."""
    module, _, attribute = {**STAGES, **PROTOCOLS}[name].partition(":")
    found: MessageSet = getattr(import_module(module), attribute)
    return found


def declared(protocol: str, message: str) -> Message | None:
    """How a message is declared under an agreement with this training protocol; None for one that neither it nor a stage knows."""
    for name in (protocol, *STAGES):
        if (name in STAGES or name in PROTOCOLS) and message in message_set(name):
            return message_set(name)[message]
    return None
