"""Parameters that several protocols have. The module imports little, because every terms file is checked with it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tombolo.agreements.parameters import Parameters, TrainingParameters


class Encrypted(Parameters):
    """Parameters of protocols that use Paillier ciphertexts."""

    key_bits: int = Field(2048, ge=1024, le=4096, title="Key size", description="Bits of the Paillier key.")


class Penalised(Parameters):
    """Parameters of models with a penalty on the weights."""

    l2: float = Field(
        0.001, ge=0, le=1e6, title="L2 penalty", description="Weight of the penalty on the squared weights; the intercept has none."
    )


class Regression(TrainingParameters, Penalised):
    """Parameters of regressions."""

    tolerance: float = Field(
        1e-5, ge=0, le=1, title="Tolerance", description="Training stops when no gradient component exceeds this."
    )


class Batched(Parameters):
    """Parameters of gradient descent that can use batches."""

    batch_rows: int | None = Field(None, ge=1, title="Batch rows", description="Rows per mini-batch; empty for all rows.")
    step: float = Field(0.1, ge=0, le=100, title="Step size", description="Step of mini-batch training.")

    def batch(self, rows: int) -> int:
        """The number of rows in a batch, out of ``rows``."""
        return min(self.batch_rows, rows) if self.batch_rows else rows


class EncryptedRegression(Regression, Encrypted):
    """A regression on ciphertexts."""


class BatchedRegression(EncryptedRegression, Batched):
    """A regression on ciphertexts that can use batches."""


class Descending(Batched):
    """Parameters of gradient descent with momentum."""

    momentum: float = Field(
        0.9, ge=0, le=0.999, title="Momentum", description="Momentum of gradient descent. A client begins every round without any."
    )


class Patient(Parameters):
    """Parameters of training that can stop early."""

    patience: int | None = Field(
        None,
        ge=1,
        le=1000,
        title="Patience",
        description="Training stops after this many rounds without a better loss on the validation rows; empty for all rounds.",
    )
    validation_fraction: float = Field(
        0.1,
        ge=0.01,
        le=0.5,
        title="Validation fraction",
        description="Part of the training rows that decides when to stop. Used only with a patience.",
    )


class Seeded(Parameters):
    """Parameters of training with public random numbers."""

    seed: int = Field(1, ge=0, le=2**31 - 1, title="Seed", description="The first weights and the order of the rows come from it.")


class Boosted(TrainingParameters, Patient):
    """Parameters of boosted trees."""

    depth: int = Field(4, ge=1, le=8, title="Depth", description="The largest number of splits from the root of a tree to a leaf.")
    bins: int = Field(
        32, ge=2, le=255, title="Bins", description="The largest number of bins per column; missing values have one more bin."
    )
    learning_rate: float = Field(
        0.3, ge=1e-4, le=1, title="Learning rate", description="The values of a tree's leaves are multiplied by it."
    )
    leaf_penalty: float = Field(
        1.0, alias="lambda", ge=0, le=1e6, title="Lambda", description="L2 penalty on the values of leaves."
    )
    gamma: float = Field(0.0, ge=0, le=1e6, title="Gamma", description="The smallest gain of a split.")
    min_child_weight: float = Field(
        1.0,
        ge=0,
        le=1e6,
        title="Least child weight",
        description="The smallest sum of h in a leaf. limits.minimum_leaf_rows can raise it.",
    )
    gradient_bits: int = Field(
        24, ge=16, le=32, title="Gradient bits", description="Bits of the g and h of a row, relative to the largest value."
    )


class Sampled(Boosted):
    """Parameters of boosted trees that use a sample of the rows and columns for each tree."""

    subsample: float = Field(
        1.0, ge=0.05, le=1, title="Rows per tree", description="Part of the training rows that a round learns from."
    )
    colsample: float = Field(
        1.0, ge=0.05, le=1, title="Columns per tree", description="Part of each party's columns that a round uses."
    )
    goss_top: float = Field(
        0.0,
        ge=0,
        le=0.9,
        title="GOSS, kept",
        description="Part of the rows that is kept because of large gradients; 0 for no GOSS.",
    )
    goss_other: float = Field(
        0.1,
        ge=0.01,
        le=0.9,
        title="GOSS, drawn",
        description="Part of the rows that is drawn from the others. The model then differs from plain training.",
    )


class Averaged(TrainingParameters, Penalised, Descending, Patient, Seeded):
    """Parameters of a network that each client trains on its own rows, and whose weights are averaged."""

    strategy: Literal["fedavg", "fedprox", "fedadam"] = Field(
        "fedavg",
        title="Strategy",
        description="How the joint weights change: by the mean update (fedavg; fedprox keeps updates small), or by Adam (fedadam).",
    )
    local_epochs: int = Field(
        1, ge=1, le=100, title="Local epochs", description="How often a client goes through its rows in a round."
    )
    proximal: float = Field(
        0.01, ge=0, le=1e3, title="Proximal weight", description="How close fedprox holds clients to the joint weights."
    )
    server_rate: float = Field(
        0.01, ge=1e-6, le=10, title="Server rate", description="The step of Adam at the aggregator; only for fedadam."
    )
    norm_bound: float = Field(
        10.0, ge=1e-6, le=1e6, title="Norm bound", description="A client shortens its update of all weights to this L2 norm."
    )
