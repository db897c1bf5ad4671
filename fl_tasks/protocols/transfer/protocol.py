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
    """The nets of federated transfer learning (docs/protocols/transfer.md). Both parties have a net of the same form.

    The columns of a party become at most ``components`` numbers, the principal components of its own rows. They go through layers
    of ``hidden`` units. The net gives ``width`` numbers between -1 and 1.
    """

    components: int = Field(10, ge=1, le=256)
    hidden: list[Annotated[int, Field(ge=1, le=64)]] = Field(default_factory=list, max_length=2)
    width: int = Field(8, ge=2, le=64)


class TransferParameters(TrainingParameters, Penalised, Encrypted, Seeded):
    """The parameters of transfer learning."""

    alignment_weight: float = Field(
        0.1,
        ge=0,
        le=100,
        title="Alignment weight",
        description="Weight of the squared distance between the numbers of the two parties for the same row.",
    )
    labelled_rows: int | None = Field(
        None,
        ge=1,
        title="Labelled rows",
        description="The most common rows whose labels are used in training; leave it empty to use all of them.",
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none",
        title="Class weights",
        description="With balanced, rows of the rarer class count more; this takes more ciphertexts for every labelled row.",
    )
    pretraining: int = Field(
        300,
        ge=0,
        le=10_000,
        title="Pretraining",
        description="How many steps the source trains its net on its own labels before the first round.",
    )
    optimiser: Literal["adam", "sgd"] = Field(
        "adam", title="Optimiser", description="The method that updates the weights from the gradients."
    )
    rate: float = Field(0.02, ge=1e-6, le=10, title="Rate", description="Step size of the optimiser.")
    loss_change: float = Field(
        1e-4,
        ge=0,
        le=1,
        title="Loss change",
        description="Training stops when the loss changed by less than this in each of the last three rounds.",
    )


def _check(terms: Terms) -> None:
    if isinstance(terms.task.parameters.get("labelled_rows"), dict):
        raise ValueError(
            "task.parameters.labelled_rows: one number; two runs that differ by one row would show the label of this row"
        )
    if any(terms.parties[name].role == "guest" for name in terms.scores):
        raise ValueError(
            "scores: name the host only; transfer predicts for the own users of the host, and the guest may not know them"
        )


PROTOCOL = Protocol(
    name="transfer",
    title="federated transfer learning, keys at both parties",
    family="vertical",
    roles=(Role("guest", tables=("train",)), Role("host", tables=("train", "predict"))),
    sections={"transfer": Section(TransferTerms, default={})},
    engines={
        "paillier": Engine(
            "tombolo.fl_tasks.protocols.transfer.programs:PROGRAMS",
            TransferParameters,
            frozenset({"stop.yes"}),
            numbers="tombolo.fl_tasks.protocols.transfer.numbers:declared",
        )
    },
    check=_check,
    unvalued="with transfer no party can score alone, so coalitions cannot be valued",
    own_users=True,
    form="The label-weighted mean of the features at the source, times the features of each user at the target",
    model="tombolo.fl_tasks.protocols.transfer.model:MODEL",
    compare="tombolo.fl_tasks.protocols.transfer.reference:compare",
    page="protocols/transfer.md",
)
