"""Sums of scalars over the senders: zero-sum masks modulo 2^128 hide everything but the sum.

Every two senders draw the same mask; the earlier one adds it and the later one subtracts it, so that all masks cancel in the sum.
Each scalar is two uint64 limbs, low first, in fixed point with :data:`SCALAR_BITS` fractional bits (range +-2^47).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import CodedError

SCALAR_BITS = 80
_MODULUS = 1 << 128
_LIMB = (1 << 64) - 1


class ScalarTooLarge(CodedError):
    code = "TMB-TRAIN-004"
    cause = "A number of the optimiser is outside the fixed-point range, because training diverges or a peer sent wrong numbers."
    remedy = "Look for extreme values in the columns and clip them in the terms, or raise the L2 penalty."


def zero_sum(session: Session, senders: Sequence[str], values: Sequence[float], label: str) -> npt.NDArray[np.uint64]:
    """This sender's masked shares of ``values``, two limbs each. Raises :class:`ScalarTooLarge`."""
    if not np.isfinite(values).all() or max(abs(value) for value in values) >= 2.0**46:
        raise ScalarTooLarge(party=session.me)
    shares = [int(value * 2.0**SCALAR_BITS) for value in values]
    me = senders.index(session.me)
    for index, other in enumerate(senders):
        if index != me:
            masks = session.pair(other).stream("scalars", label).integers_below(_MODULUS, len(shares))
            shares = [share + mask if me < index else share - mask for share, mask in zip(shares, masks, strict=True)]
    limbs = [limb for share in shares for limb in (share & _LIMB, (share >> 64) & _LIMB)]
    return np.array(limbs, dtype=np.uint64)


def total(tables: Mapping[str, pa.Table], count: int) -> list[float]:
    """The sums of ``count`` scalars over all senders' shares, in column ``share``; raises :class:`ScalarTooLarge` on a wrong length
    too."""
    sums = [0] * count
    for party, table in tables.items():
        limbs = Session.values(table, "share").to_numpy(zero_copy_only=False).tolist()
        if len(limbs) != 2 * count:
            raise ScalarTooLarge("A peer sent a wrong number of scalars.", party=party)
        sums = [sums[index] + limbs[2 * index] + (limbs[2 * index + 1] << 64) for index in range(count)]
    lifted = [value % _MODULUS for value in sums]
    return [(value - _MODULUS if value >> 127 else value) / 2.0**SCALAR_BITS for value in lifted]
