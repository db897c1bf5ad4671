"""The rule for an early end of training: the loss hardly changes any more."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from tombolo.fl_tasks.protocols.transfer.protocol import TransferParameters

_ROUNDS = 3


def settled(losses: Sequence[float], params: TransferParameters) -> bool:
    """Whether each of the last three changes of the loss was smaller than ``loss_change`` (relative if the loss is above 1)."""
    last = losses[-_ROUNDS - 1 :]
    least = params.loss_change
    return len(last) > _ROUNDS and all(abs(b - a) < least * max(1.0, abs(a)) for a, b in pairwise(last))
