"""The messages of the vertical network, and the errors that either side meets."""

from __future__ import annotations

from tombolo.fl_tasks.protocols.vertical_mlp.grid import MOST_STEPS
from tombolo.storage.errors import CodedError
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
    ),
    Message(
        "masked_sums",
        GUEST,
        HOST,
        {"sums": Paillier(HOST)},
        learns="uniformly random values: each is under a one-time pad modulo n",
        step="2",
        limit="pads are never used twice",
    ),
    Message(
        "sums",
        HOST,
        GUEST,
        {"sums": PaddedModN(HOST)},
        learns="the host's addend of every sum: so many numbers per row as the guest's first joint layer has units",
        step="3",
        limit="fewer sums than the host has units; the weights between them are known to nobody",
    ),
)
"""Of every batch of rows, in training and in scoring."""

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
    ),
    Message(
        "unit_slopes",
        GUEST,
        HOST,
        {"delta": Paillier(GUEST)},
        learns="nothing: the guest's addend of derivatives of rows by the host's units, under the guest's key",
        step="4",
    ),
    Message(
        "masked_gradient",
        HOST,
        GUEST,
        {"gradient": Paillier(GUEST)},
        learns="uniformly random values: each is under a one-time pad modulo n",
        step="5",
        limit="pads are never used twice",
    ),
    Message(
        "noisy_step",
        HOST,
        GUEST,
        {"step": Paillier(GUEST)},
        learns="noise: the weights' step disappears in numbers 2^60 times as large, which stay with the host",
        step="5",
        limit="noise is never used twice",
    ),
    Message(
        "unmasked_gradient",
        GUEST,
        HOST,
        {"gradient": PaddedModN(GUEST)},
        learns="its own gradient, summed over the batch: one number per own weight",
        step="6",
        limit="limits.minimum_rows_per_weight; batches are the same in every round",
    ),
)


class TooManySteps(CodedError):
    code = "TMB-NEURAL-001"
    cause = "Training has more steps than the fixed-point form of the weights holds."
    remedy = f"At most {MOST_STEPS} batches in all rounds together: take larger batches, or fewer rounds."


class TooFewColumns(CodedError):
    code = "TMB-NEURAL-003"
    cause = "A host has no more columns than there are joint units: the guest would see as many numbers per row as the host has."
    remedy = "Agree on fewer units in the first of network.hidden, or give more columns."


class TooLarge(CodedError):
    code = "TMB-NEURAL-002"
    cause = "A unit, a derivative or a sum of the network is too large for the fixed-point form; training diverges."
    remedy = "Take a smaller step, tanh in place of relu, or clip extreme columns by agreement (clip: 5)."
