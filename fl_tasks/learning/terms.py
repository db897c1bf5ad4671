"""Terms that several protocols have in their tasks. The module imports little, because every terms file is checked with it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tombolo.agreements.protocol import Outcome, TaskSection


class BoostingTerms(TaskSection):
    """What boosted trees learn. All fields except ``objective`` and ``classes`` are for columns of several parties."""

    objective: Literal["logistic", "squared", "softmax"] = "logistic"
    classes: int = Field(2, ge=2, le=64)
    weight: str | None = None
    first_tree_guest_only: bool = False
    feature_names: bool = False
    prediction: Literal["one-message", "level-wise"] = "one-message"

    @model_validator(mode="after")
    def _classes_fit(self) -> Self:
        if (self.objective == "softmax") != (self.classes > 2):
            raise ValueError("classes: give three or more with softmax, and leave it out otherwise")
        return self

    @property
    def predicts(self) -> Outcome | None:
        """What is predicted with the objective."""
        outcomes: dict[str, Outcome] = {"logistic": "binary", "squared": "number", "softmax": "classes"}
        return outcomes[self.objective]

    @property
    def class_count(self) -> int | None:
        return self.classes

    @property
    def weight_column(self) -> str | None:
        return self.weight


class NetworkTerms(TaskSection):
    """The network that is trained: units of its hidden layers, and what it predicts.

    In a vertical network every party has ``bottom`` units of its own, and the first of the ``hidden`` layers joins them; the
    guest holds the other layers (docs/protocols/vertical-mlp.md, docs/protocols/horizontal-mlp.md).
    """

    bottom: int | None = Field(None, ge=2, le=64)
    hidden: list[Annotated[int, Field(ge=1, le=1024)]] = Field([32], min_length=1, max_length=4)
    activation: Literal["relu", "tanh"] = "relu"
    outcome: Outcome = "binary"
    classes: int = Field(2, ge=2, le=64)

    @model_validator(mode="after")
    def _classes_fit(self) -> Self:
        if (self.outcome == "classes") != (self.classes > 2):
            raise ValueError("classes: give three or more if outcome is classes, and leave it out otherwise")
        if self.bottom is not None and not self.hidden[0] < self.bottom:
            raise ValueError("hidden: the first layer must have fewer units than bottom")
        return self

    @property
    def predicts(self) -> Outcome | None:
        """What the network's outputs are."""
        return self.outcome

    @property
    def class_count(self) -> int | None:
        return self.classes


class PrivacyTerms(TaskSection):
    """Differential privacy of single training rows (docs/protocols/horizontal-mlp.md).

    Every row's gradient is shortened to ``clip``, and the aggregator adds noise to their sum. The terms give ``epsilon``, for all
    rounds of a run, or ``noise``, in units of ``clip``.
    """

    delta: float = Field(gt=0, le=0.01)
    epsilon: float | None = Field(None, gt=0, le=1000)
    noise: float | None = Field(None, gt=0, le=10_000)
    clip: float = Field(1.0, gt=0, le=1000)

    @model_validator(mode="after")
    def _one_aim(self) -> Self:
        if (self.epsilon is None) == (self.noise is None):
            raise ValueError("give either epsilon or noise")
        return self
