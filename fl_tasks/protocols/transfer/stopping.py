"""When training is over before its last round: the loss hardly changes any more."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from tombolo.fl_tasks.protocols.transfer.protocol import TransferParameters

_ROUNDS = 3


def settled(losses: Sequence[float], params: TransferParameters) -> bool:
    """Whether the last three changes of the loss were all smaller than ``loss_change``, relative to a loss above 1."""
    last = losses[-_ROUNDS - 1 :]
    least = params.loss_change
    return len(last) > _ROUNDS and all(abs(b - a) < least * max(1.0, abs(a)) for a, b in pairwise(last))
