"""All message sets in one registry: every message that may leave a party, for the leakage pages, the audit and the console."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import import_module

from tombolo.agreements.protocol import GROUP, Protocol, protocol_named
from tombolo.agreements.task import TaskTerms
from tombolo.storage.plugins import offered
from tombolo.storage.schema import Message, MessageSet

STAGES = {
    "handshake": "tombolo.fl_tasks.workflow.handshake:HANDSHAKE",
    "seeds": "tombolo.fl_tasks.workflow.handshake:SEEDS",
    "alignment": "tombolo.fl_tasks.alignment.messages:MESSAGES",
    "kkrt": "tombolo.fl_tasks.alignment.messages:KKRT",
    "numbers": "tombolo.fl_tasks.workflow.numbers:MESSAGES",
    "secure-aggregation": "tombolo.fl_tasks.learning.horizontal.secagg:MESSAGES",
    "evaluation": "tombolo.fl_tasks.workflow.evaluate:METRICS",
    "incentives": "tombolo.fl_tasks.incentives.coalitions:MESSAGES",
    "volume": "tombolo.fl_tasks.incentives.volume:MESSAGES",
    "settlement": "tombolo.fl_tasks.ledger.settlement.messages:SETTLEMENT",
    "live": "tombolo.fl_tasks.incentives.live:LIVE",
    "abort": "tombolo.fl_tasks.runtime.aborts:ABORT",
}
"""Message sets of the stages that every agreement goes through."""


def sets_of(protocol: Protocol) -> Mapping[str, MessageSet]:
    """The message sets of a protocol, by name: one for each engine, one for scoring, and the protocol's further ones.

    The set of the default engine has the name of the protocol.
    """
    engines = {
        protocol.name if number == 0 else f"{protocol.name}-{name}": protocol.load(engine.programs).messages
        for number, (name, engine) in enumerate(protocol.engines.items())
    }
    scoring = None if protocol.model is None else protocol.load(protocol.model).messages
    return {
        **engines,
        **({scoring.protocol: scoring} if scoring else {}),
        **{name: protocol.load(part) for name, part in protocol.message_sets.items()},
    }


def stage_set(name: str) -> MessageSet:
    """The message set of a stage."""
    module, _, attribute = STAGES[name].partition(":")
    messages: MessageSet = getattr(import_module(module), attribute)
    return messages


def every_set(plugins: Collection[str] = ()) -> dict[str, MessageSet]:
    """All message sets by name, also those of ``plugins``."""
    sets = {name: stage_set(name) for name in STAGES}
    for name in offered(GROUP, plugins):
        sets |= sets_of(protocol_named(name, plugins).protocol)
    return sets


def declared(task: TaskTerms, message: str) -> Message | None:
    """The declaration of a message in an agreement with this task; None if neither its protocol nor a stage declares it."""
    engine = task.descriptor.load(task.descriptor.engine(task.engine).programs).messages
    for messages in (engine, *sets_of(task.descriptor).values(), *map(stage_set, STAGES)):
        if message in messages:
            declaration: Message = messages[message]
            return declaration
    return None
