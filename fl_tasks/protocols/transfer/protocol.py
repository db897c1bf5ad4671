"""The descriptor of federated transfer learning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tombolo.agreements.parameters import TrainingParameters
from tombolo.agreements.protocol import Engine, Protocol, Role, Section, TaskSection
from tombolo.fl_tasks.learning.parameters import Encrypted, Penalised, Seeded

if TYPE_CHECKING:
    from tombolo.agreements.terms import Terms


class TransferTerms(TaskSection):
    """The nets of federated transfer learning (docs/protocols/transfer.md), alike at both parties.

    A party's columns become at most ``components`` numbers, the principal components of its own rows; over them lie layers of
    ``hidden`` units, and ``width`` numbers between -1 and 1 come out.
    """

    components: int = Field(10, ge=1, le=256)
    hidden: list[Annotated[int, Field(ge=1, le=64)]] = Field(default_factory=list, max_length=2)
    width: int = Field(8, ge=2, le=64)


class TransferParameters(TrainingParameters, Penalised, Encrypted, Seeded):
    """Of transfer learning."""

    alignment_weight: float = Field(
        0.1,
        ge=0,
        le=100,
        title="Alignment weight",
        description="Weight of the squared distance between both parties' numbers of a row.",
    )
    labelled_rows: int | None = Field(
        None,
        ge=1,
        title="Labelled rows",
        description="Most common rows whose labels are learnt from; empty for all of them.",
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none",
        title="Class weights",
        description="Whether rows of the rarer class count for more; with it every row has its own ciphertexts.",
    )
    pretraining: int = Field(
        300,
        ge=0,
        le=10_000,
        title="Pretraining",
        description="Steps that the source's net takes on its own labels before the first round.",
    )
    optimiser: Literal["adam", "sgd"] = Field("adam", title="Optimiser", description="How weights move along gradients.")
    rate: float = Field(0.02, ge=1e-6, le=10, title="Rate", description="Step size of the optimiser.")
    loss_change: float = Field(
        1e-4,
        ge=0,
        le=1,
        title="Loss change",
        description="Training stops when three rounds changed the loss by less than this.",
    )


def _check(terms: Terms) -> None:
    if isinstance(terms.task.parameters.get("labelled_rows"), dict):
        raise ValueError("task.parameters.labelled_rows: one number; from runs that differ by a row its label would follow")
    if any(terms.parties[name].role == "guest" for name in terms.scores):
        raise ValueError("scores: transfer predicts for the host's own users, whom the guest need not know; name the host only")


PROTOCOL = Protocol(
    name="transfer",
    title="federated transfer learning, keys at both parties",
    family="vertical",
    roles=(Role("guest", tables=("train",)), Role("host", tables=("train", "predict"))),
    sections={"transfer": Section(TransferTerms, default={})},
    engines={
        "paillier": Engine("tombolo.fl_tasks.protocols.transfer.programs:PROGRAMS", TransferParameters, frozenset({"stop.yes"}))
    },
    check=_check,
    unvalued="with transfer nobody scores by itself, so coalitions cannot be valued",
    own_users=True,
    form="The source's mean by label times what the target's net tells of its own users",
    model="tombolo.fl_tasks.protocols.transfer.model:MODEL",
    compare="tombolo.fl_tasks.protocols.transfer.reference:compare",
    page="protocols/transfer.md",
)
