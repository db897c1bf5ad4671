"""The descriptor of mean-difference. Imports nothing heavy: DAGs and forms are made from it."""

from __future__ import annotations

from pydantic import Field

from tombolo.agreements.protocol import Engine, Protocol, Role
from tombolo.agreements.parameters import TrainingParameters
from tombolo.fl_tasks.learning.parameters import Encrypted
from tombolo.fl_tasks.learning.vertical.roles import GUEST, HOSTS


class MeanDifferenceParameters(TrainingParameters, Encrypted):
    rounds: int = Field(1, ge=1, le=1, title="Rounds", description="There is one.")
    shrink: float = Field(0.1, ge=0, le=1, title="Shrinkage", description="Every difference comes this much closer to 0.")


PROTOCOL = Protocol(
    name="mean-difference",
    title="vertical mean difference, keys at the guest",
    family="vertical",
    roles=(GUEST, HOSTS, Role("validator", least=0)),
    engines={
        "paillier": Engine("tombolo_mean_difference.programs:PROGRAMS", MeanDifferenceParameters, discloses=frozenset()),
    },
    form="A linear score over standardised columns: differences of class means",
    model="tombolo.fl_tasks.learning.vertical.regression:MODEL",
    reference="tombolo_mean_difference.reference:REFERENCE",
)
