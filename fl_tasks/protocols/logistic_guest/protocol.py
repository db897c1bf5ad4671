"""The descriptor of exact vertical logistic regression in which the guest holds the key."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from tombolo.agreements.protocol import Engine, Protocol
from tombolo.fl_tasks.learning.parameters import EncryptedRegression
from tombolo.fl_tasks.learning.vertical.roles import WITHOUT_ARBITER

if TYPE_CHECKING:
    from tombolo.agreements.task import TaskTerms

DIRECTION_WAIVER = "disclose-direction-to-guest"


def _hosts_hide_each_other(task: TaskTerms, roles: Collection[str]) -> None:
    if list(roles).count("host") == 1 and DIRECTION_WAIVER not in task.waivers:
        raise ValueError(
            "task.protocol: with a single host, logistic-guest shows the directions of this host to the guest; "
            f"use logistic-arbiter, or sign the waiver {DIRECTION_WAIVER}"
        )


PROTOCOL = Protocol(
    name="logistic-guest",
    title="vertical logistic regression, exact, keys at the guest",
    family="vertical",
    wire=2,  # hosts tell each other their column counts, and do not take the sum from the guest
    roles=WITHOUT_ARBITER,
    engines={
        "paillier": Engine(
            "tombolo.fl_tasks.protocols.logistic_guest.programs:PROGRAMS",
            EncryptedRegression,
            frozenset({"columns.count", "converged.yes", "step.alpha", "step.stop", "turn.beta"}),
            numbers="tombolo.fl_tasks.protocols.logistic_guest.numbers:declared",
        )
    },
    waivers=(DIRECTION_WAIVER,),
    composition=_hosts_hide_each_other,
    unretrained=(
        "with logistic-guest every new training would show the guest more directions of the columns of the hosts, also of "
        "single hosts; logistic-arbiter can retrain"
    ),
    model="tombolo.fl_tasks.learning.vertical.regression:MODEL",
    reference="tombolo.fl_tasks.learning.regression:LOGISTIC",
    state="tombolo.fl_tasks.protocols.logistic_guest.state:ITEMS",
    page="protocols/logistic-guest.md",
)
