"""Parameters that several protocols have; light, since every terms file is checked against them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tombolo.agreements.parameters import Parameters, TrainingParameters


class Encrypted(Parameters):
    """Of protocols on Paillier ciphertexts."""

    key_bits: int = Field(2048, ge=1024, le=4096, title="Key size", description="Bits of the Paillier key.")


class Penalised(Parameters):
    """Of models whose weights are penalised."""

    l2: float = Field(
        0.001, ge=0, le=1e6, title="L2 penalty", description="Weight of the squared-norm penalty, intercept not penalised."
    )


class Regression(TrainingParameters, Penalised):
    """Of regressions."""

    tolerance: float = Field(
        1e-5, ge=0, le=1, title="Tolerance", description="Training stops when no gradient component exceeds this."
    )


class Batched(Parameters):
    """Of descent that may go by batches."""

    batch_rows: int | None = Field(None, ge=1, title="Batch rows", description="Rows per mini-batch; empty for all rows.")
    step: float = Field(0.1, ge=0, le=100, title="Step size", description="Step of mini-batch training.")

    def batch(self, rows: int) -> int:
        """Rows of a batch out of so many."""
        return min(self.batch_rows, rows) if self.batch_rows else rows


class EncryptedRegression(Regression, Encrypted):
    """A regression on ciphertexts."""


class BatchedRegression(EncryptedRegression, Batched):
    """The same, which may go by batches."""


class Descending(Batched):
    """Of descent with momentum."""

    momentum: float = Field(0.9, ge=0, le=0.999, title="Momentum", description="Of descent; clients' anew in every round.")


class Patient(Parameters):
    """Of training that stops early."""

    patience: int | None = Field(
        None,
        ge=1,
        le=1000,
        title="Patience",
        description="Rounds without a better loss on validation rows before training stops; empty for all.",
    )
    validation_fraction: float = Field(
        0.1,
        ge=0.01,
        le=0.5,
        title="Validation fraction",
        description="Part of the training rows that decides when to stop, with a patience.",
    )


class Seeded(Parameters):
    """Of training that draws in the open."""

    seed: int = Field(1, ge=0, le=2**31 - 1, title="Seed", description="First weights and the order of rows come from it.")


class Boosted(TrainingParameters, Patient):
    """Of boosted trees."""

    depth: int = Field(4, ge=1, le=8, title="Depth", description="Most splits on the way from a tree's root to a leaf.")
    bins: int = Field(
        32, ge=2, le=255, title="Bins", description="Most bins per column; missing values have one of their own beside these."
    )
    learning_rate: float = Field(0.3, ge=1e-4, le=1, title="Learning rate", description="What a tree's leaves are multiplied by.")
    leaf_penalty: float = Field(
        1.0, alias="lambda", ge=0, le=1e6, title="Lambda", description="L2 penalty on the values of leaves."
    )
    gamma: float = Field(0.0, ge=0, le=1e6, title="Gamma", description="Least gain of a split.")
    min_child_weight: float = Field(
        1.0,
        ge=0,
        le=1e6,
        title="Least child weight",
        description="Least sum of h in a leaf; raised to what limits.minimum_leaf_rows needs.",
    )
    gradient_bits: int = Field(
        24, ge=16, le=32, title="Gradient bits", description="Bits of a row's g and h, relative to the largest."
    )


class Sampled(Boosted):
    """Rows and columns are sampled, tree by tree."""

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
        description="Part of the rows kept for their large gradients; 0 for no GOSS.",
    )
    goss_other: float = Field(
        0.1, ge=0.01, le=0.9, title="GOSS, drawn", description="Part of the rows drawn from the others; lossy."
    )


class Averaged(TrainingParameters, Penalised, Descending, Patient, Seeded):
    """A network that clients train at home and average."""

    strategy: Literal["fedavg", "fedprox", "fedadam"] = Field(
        "fedavg",
        title="Strategy",
        description="How updates become the joint weights: their mean, that of updates held close (fedprox), or Adam along it.",
    )
    local_epochs: int = Field(
        1, ge=1, le=100, title="Local epochs", description="How often a client goes through its rows in a round."
    )
    proximal: float = Field(
        0.01, ge=0, le=1e3, title="Proximal weight", description="How close fedprox holds clients to the joint weights."
    )
    server_rate: float = Field(0.01, ge=1e-6, le=10, title="Server rate", description="Adam's step at the aggregator, of fedadam.")
    norm_bound: float = Field(
        10.0, ge=1e-6, le=1e6, title="Norm bound", description="A client shortens its update of all weights to this L2 norm."
    )
