"""Split learning without encryption (Gupta and Raskar 2018): units and their derivatives travel row by row, readable.

The guest has W whole. From derivatives by row a host reads off most labels, and from units by row and W the guest may work out a
host's columns: the terms must waive both, and the messages are booked as disclosed.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.learning.terms import NetworkTerms
from tombolo.fl_tasks.learning.vertical.key_holder import WrongLength
from tombolo.fl_tasks.protocols.vertical_mlp.forward import LARGEST_SUM
from tombolo.fl_tasks.protocols.vertical_mlp.grid import (
    ACTIVATION_BITS,
    LARGEST_ACTIVATION,
    SLOPE_BITS,
    WEIGHT_BITS,
    Floats,
    Share,
    encoded,
)
from tombolo.fl_tasks.protocols.vertical_mlp.messages import TooLarge
from tombolo.fl_tasks.protocols.vertical_mlp.programs import NetworkPrograms, Shape
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.roles import GUEST, HOST
from tombolo.storage.schema import Disclosed, Message, MessageSet

_WAIVED = "the terms have engine: split, and waive that units and derivatives are hidden"
READABLE_UNITS = Message(
    "readable_units",
    HOST,
    GUEST,
    {"unit": Disclosed("float64", _WAIVED, "engine: split only")},
    learns="**the host's units, row by row**; with their weights, which it has, it may work out the host's columns",
    step="1",
    limit="only with the waiver",
)
MESSAGES = MessageSet(
    "vertical-mlp-split",
    READABLE_UNITS,
    Message(
        "readable_slopes",
        GUEST,
        HOST,
        {"slope": Disclosed("float64", _WAIVED, "engine: split only")},
        learns="**derivatives by its units, row by row, and hence most labels**",
        step="2",
        limit="only with the waiver",
    ),
)


class SplitGuest:
    """The guest's side; its ``shares`` are W itself."""

    def __init__(self, session: Session, shares: dict[str, Share], shape: Shape, learns: bool) -> None:
        self._session, self.shares = session, shares
        self._units: dict[str, Floats] = {}

    def sums(self, rows: int, batch: int) -> Floats:
        """Step 1."""
        received = partial(_received, self._session, "readable_units", "unit", rows=rows, most=LARGEST_ACTIVATION)
        self._units = {party: received(party) for party in self.shares}
        return np.asarray(np.sum([units @ _plain(self.shares[party]) for party, units in self._units.items()], axis=0))

    def move(self, delta: Floats) -> None:
        """Step 2."""
        for party, share in self.shares.items():
            self._session.send("readable_slopes", party, slope=(delta @ _plain(share).T).ravel())
            share.move(encoded(-self._units[party].T @ delta, ACTIVATION_BITS + SLOPE_BITS))


class SplitHost:
    """A host's side; its ``share`` is of no use."""

    def __init__(self, session: Session, share: Share, shape: Shape, learns: bool) -> None:
        self._session, self.share = session, share

    def show(self, units: Floats) -> None:
        """Step 1."""
        self._session.send("readable_units", unit=units.ravel())

    def gradient(self, x: Floats, bends: Floats, batch: int) -> Floats:
        """Step 2."""
        slopes = _received(self._session, "readable_slopes", "slope", self._session.guest, len(x), LARGEST_SUM)
        return np.column_stack([x, np.ones(len(x))]).T @ (slopes * bends)


def _plain(share: Share) -> Floats:
    return share.w.astype(np.float64) / 2.0**WEIGHT_BITS


def _received(session: Session, message: str, column: str, sender: str, rows: int, most: float) -> Floats:
    """A matrix with a value, of magnitude ``most`` at most, for every row and unit."""
    network = session.terms.task.section(NetworkTerms)
    assert network.bottom is not None
    values: npt.NDArray[np.float64] = session.values(session.receive(message, sender), column).to_numpy(zero_copy_only=False)
    if len(values) != rows * network.bottom:
        raise WrongLength(f"{len(values)} values instead of {rows * network.bottom}.", party=sender)
    if not np.abs(values).max(initial=0.0) <= most:
        raise TooLarge(party=sender)
    return values.reshape(rows, network.bottom)


NETWORK = NetworkPrograms(SplitGuest, SplitHost, shared=False)
PROGRAMS = NETWORK.programs(MESSAGES)
