"""The messages of the vertical network, and its errors."""

from __future__ import annotations

from tombolo.fl_tasks.protocols.vertical_mlp.grid import MOST_STEPS
from tombolo.storage.errors import CodedError
from tombolo.storage.meters import NUMBERS, ROWS
from tombolo.storage.roles import DATA, GUEST, HOST
from tombolo.storage.schema import Message, MessageSet, PaddedModN, Paillier, Public

FORWARD = (
    Message(
        "public_key",
        DATA,
        DATA,
        {"key": Public("binary", "a public key")},
        learns="the run's Paillier public key",
        step="0",
    ),
    Message(
        "units",
        HOST,
        GUEST,
        {"alpha": Paillier(HOST)},
        learns="nothing: the host's units, under the host's key",
        step="1",
        rows=None,
    ),
    Message(
        "masked_sums",
        GUEST,
        HOST,
        {"sums": Paillier(HOST)},
        learns="uniformly random values: each is under a one-time pad modulo n",
        step="2",
        limit="pads are never used twice",
        rows=None,
    ),
    Message(
        "sums",
        HOST,
        GUEST,
        {"sums": PaddedModN(HOST, ROWS)},
        learns="the host's addend of every sum: as many numbers per row as the first joint layer of the guest has units",
        step="3",
        limit="fewer sums than the host has units; nobody knows the weights between units and sums",
        rows=None,
    ),
)
"""The messages of every batch of rows, in training and in scoring."""

MESSAGES = MessageSet(
    "vertical-mlp",
    *FORWARD,
    Message(
        "slopes",
        GUEST,
        HOST,
        {"delta": Paillier(GUEST)},
        learns="nothing: derivatives of rows by the sums, under the guest's key",
        step="4",
        rows=None,
    ),
    Message(
        "unit_slopes",
        GUEST,
        HOST,
        {"delta": Paillier(GUEST)},
        learns="nothing: a part of the derivatives of rows by the host's units, under the guest's key",
        step="4",
        rows=None,
    ),
    Message(
        "masked_gradient",
        HOST,
        GUEST,
        {"gradient": Paillier(GUEST)},
        learns="uniformly random values: each is under a one-time pad modulo n",
        step="5",
        limit="pads are never used twice",
        rows=None,
    ),
    Message(
        "noisy_step",
        HOST,
        GUEST,
        {"step": Paillier(GUEST)},
        learns="noise: the host adds numbers 2^60 times as large as the step of the weights, and keeps them",
        step="5",
        limit="noise is never used twice",
        rows=None,
    ),
    Message(
        "unmasked_gradient",
        GUEST,
        HOST,
        {"gradient": PaddedModN(GUEST, NUMBERS)},
        learns="the recipient's own gradient, summed over the batch: one number per weight",
        step="6",
        limit="limits.minimum_rows_per_weight; batches are the same in every round",
        rows=None,
    ),
)


class TooManySteps(CodedError):
    code = "TMB-NEURAL-001"
    cause = "Training would take more steps than the fixed-point form of the weights allows."
    remedy = f"Take larger batches or fewer rounds, so that all rounds together have at most {MOST_STEPS} batches."


class TooFewColumns(CodedError):
    code = "TMB-NEURAL-003"
    cause = "A host does not have more columns than there are joint units. The guest would see too many numbers about each row."
    remedy = (
        "Add columns to the table of the host, or make an agreement with fewer units in the first layer of task.network.hidden."
    )


class TooLarge(CodedError):
    code = "TMB-NEURAL-002"
    cause = "Training diverges: a unit, a derivative or a sum of the network is too large for the fixed-point form."
    remedy = "Start a run with a smaller step. Or make an agreement with tanh instead of relu, or with clip: 5 for extreme columns."
