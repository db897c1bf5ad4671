"""Split learning without encryption (Gupta and Raskar 2018): the units and derivatives of each row are sent in readable form.

The guest has all of W. A host can read most labels from the derivatives of the rows. The guest may compute the columns of a host
from the units of the rows and W. The terms must accept both risks by a waiver, and the messages are declared as disclosed.
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
from tombolo.storage.meters import ROWS
from tombolo.storage.roles import GUEST, HOST
from tombolo.storage.schema import Disclosed, Message, MessageSet

_WAIVED = "the terms have engine: split, and waive that units and derivatives are hidden"
READABLE_UNITS = Message(
    "readable_units",
    HOST,
    GUEST,
    {"unit": Disclosed("float64", _WAIVED, "engine: split only", ROWS)},
    learns="**the host's units, row by row**; the guest also has their weights, so it may compute the host's columns",
    step="1",
    limit="only with the waiver",
    rows=None,
)
MESSAGES = MessageSet(
    "vertical-mlp-split",
    READABLE_UNITS,
    Message(
        "readable_slopes",
        GUEST,
        HOST,
        {"slope": Disclosed("float64", _WAIVED, "engine: split only", ROWS)},
        learns="**the derivatives by the host's units, row by row, and so most labels**",
        step="2",
        limit="only with the waiver",
        rows=None,
    ),
)


class SplitGuest:
    """The side of the guest; its ``shares`` are W itself."""

    def __init__(self, session: Session, shares: dict[str, Share], shape: Shape, learns: bool) -> None:
        self._session, self.shares = session, shares
        self._units: dict[str, Floats] = {}

    def sums(self, rows: int, batch: int) -> Floats:
        """Step 1: receive the units of the hosts; returns the joint sums (rows, sums)."""
        received = partial(_received, self._session, "readable_units", "unit", rows=rows, most=LARGEST_ACTIVATION)
        self._units = {party: received(party) for party in self.shares}
        return np.asarray(np.sum([units @ _plain(self.shares[party]) for party, units in self._units.items()], axis=0))

    def move(self, delta: Floats) -> None:
        """Step 2: send the derivatives by the units, and move W; ``delta`` has shape (rows, sums)."""
        for party, share in self.shares.items():
            self._session.send("readable_slopes", party, slope=(delta @ _plain(share).T).ravel())
            share.move(encoded(-self._units[party].T @ delta, ACTIVATION_BITS + SLOPE_BITS))


class SplitHost:
    """The side of a host; its ``share`` is not used."""

    def __init__(self, session: Session, share: Share, shape: Shape, learns: bool) -> None:
        self._session, self.share = session, share

    def show(self, units: Floats) -> None:
        """Step 1: send the units (rows, units) to the guest."""
        self._session.send("readable_units", unit=units.ravel())

    def gradient(self, x: Floats, bends: Floats, batch: int) -> Floats:
        """Step 2: receive the derivatives; returns the gradient of the weights of this host."""
        slopes = _received(self._session, "readable_slopes", "slope", self._session.guest, len(x), LARGEST_SUM)
        return np.column_stack([x, np.ones(len(x))]).T @ (slopes * bends)


def _plain(share: Share) -> Floats:
    return share.w.astype(np.float64) / 2.0**WEIGHT_BITS


def _received(session: Session, message: str, column: str, sender: str, rows: int, most: float) -> Floats:
    """Receive a matrix (rows, units) with values of magnitude ``most`` at most. Raises WrongLength and :class:`TooLarge`."""
    network = session.terms.task.section(NetworkTerms)
    assert network.bottom is not None
    table = session.receive(message, sender, rows * network.bottom)
    values: npt.NDArray[np.float64] = session.values(table, column).to_numpy(zero_copy_only=False)
    if len(values) != rows * network.bottom:
        raise WrongLength(f"{len(values)} values came instead of {rows * network.bottom}.", party=sender)
    if not np.abs(values).max(initial=0.0) <= most:
        raise TooLarge(party=sender)
    return values.reshape(rows, network.bottom)


NETWORK = NetworkPrograms(SplitGuest, SplitHost, shared=False)
PROGRAMS = NETWORK.programs(MESSAGES)
