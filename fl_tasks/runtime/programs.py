"""The role programs of a protocol with one engine: its messages, and a function for every role that takes part in training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.schema import MessageSet

R = TypeVar("R")
DataProgram = Callable[[Session, R], State]
"""Trains on this party's training rows; returns the last state."""
HelperProgram = Callable[[Session], State]
"""Trains without rows; returns the last state."""


@dataclass(frozen=True)
class Programs(Generic[R]):
    """``data`` are the programs of roles that train on rows (of the class ``R``); ``helpers`` are those of the other roles.

    A role without a program takes no part in training.
    """

    messages: MessageSet
    data: Mapping[str, DataProgram[R]] = field(default_factory=dict)
    helpers: Mapping[str, HelperProgram] = field(default_factory=dict)

    def help(self, session: Session) -> State:
        """Train without rows. A role without a program is finished at once."""
        program = self.helpers.get(session.role)
        return {"round": 0, "stopped": True, "loss": []} if program is None else program(session)


AnyPrograms = Programs[Any]
