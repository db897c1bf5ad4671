"""Regression of a quadratic loss on dealt shares: white paper section 3.4, but the arbiter is a dealer and decrypts nothing.

A data party's share of the residual is its part of it, X_k w_k (at the guest minus the target). The sum of squared residuals
follows from gradients, because the loss is quadratic: |d|^2 = |d_0|^2 + (w - w_0) . (X^T d_0 + X^T d).
"""

from __future__ import annotations

import math

import numpy as np

from tombolo.fl_tasks.learning.vertical.dealt_gradient import MESSAGES as DEALT_GRADIENT
from tombolo.fl_tasks.learning.vertical.dealt_gradient import Dealer, DealtGradient
from tombolo.fl_tasks.learning.vertical.key_holder import RowNumbers
from tombolo.fl_tasks.learning.vertical.rows import Floats, VerticalRows
from tombolo.fl_tasks.learning.vertical.state import FIRST_SUMS
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.shares.ring import Scale
from tombolo.storage.errors import CodedError
from tombolo.storage.meters import NUMBERS
from tombolo.storage.roles import GUEST, HOST
from tombolo.storage.schema import Disclosed, Message

HEADROOM_BITS = 5
_EXPONENTS = 64
SCALED = (
    Message(
        "scale",
        GUEST,
        HOST,
        {
            "exponent": Disclosed(
                "int64",
                "one fixed-point scale for all residuals",
                "a power of two, once per run",
                NUMBERS,
                least=-1000,
                most=1000,
            )
        },
        learns="how large the target's standard deviation is, as a power of two",
        step="0",
        limit="one whole number per run",
    ),
    DEALT_GRADIENT,
)


class PartTooLarge(CodedError):
    code = "TMB-DEAL-004"
    cause = "A party's part of the predictions is more than 32 times the target's standard deviation, too large for the shares."
    remedy = "Raise the L2 penalty, drop one of two almost equal columns, or use the engine paillier, which has a larger range."


class BadScale(CodedError):
    code = "TMB-DEAL-005"
    cause = "The exponent of the residuals' scale is not between -64 and 64."
    remedy = "Install the same version at the guest. If it fails again, change the unit of the target to get common sizes."


class DealtParty:
    """A data party on shares; ``part`` is its addend of the residual at ``start``."""

    def __init__(self, session: Session, data: VerticalRows, start: Floats, part: Floats) -> None:
        self._session, self._start = session, start
        if session.role == GUEST:
            exponent = min(max(math.frexp(_size(part))[1], -_EXPONENTS), _EXPONENTS)
            session.send("scale", exponent=exponent)
        else:
            exponent = session.scalar(session.receive("scale", session.guest), "exponent")
            if not -_EXPONENTS <= exponent <= _EXPONENTS:
                raise BadScale(party=session.guest)
        self._largest_part = 2.0 ** (exponent + HEADROOM_BITS)
        self._scale = Scale.of(data.rows, len(session.data_parties) * self._largest_part)
        self._constant = float(part @ part)
        self._gradient = DealtGradient(session, data)

    def gradient(self, part: Floats, rows: RowNumbers) -> Floats:
        if not _size(part) <= self._largest_part:
            raise PartTooLarge(party=self._session.me)
        return self._gradient(self._scale.encode(part), self._scale)

    def squares(self, w: Floats, sums: Floats) -> float:
        first = self._session.state.keep(FIRST_SUMS, sums)
        return self._constant + float((w - self._start) @ (first + sums))


class DealtHelper(Dealer):
    """The arbiter on shares."""

    def squares(self) -> float:
        self.deal()
        return 0.0


def _size(part: Floats) -> float:
    """The root mean square."""
    return float(np.sqrt(part @ part / len(part)))
