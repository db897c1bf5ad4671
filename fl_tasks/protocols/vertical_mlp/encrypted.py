"""The layer between the parties on ciphertexts: steps 1 to 6 of a batch at guest and host, in order."""

from __future__ import annotations

from typing import Any

import numpy as np

from tombolo.fl_tasks.learning.vertical.key_holder import own_key, peer_key
from tombolo.fl_tasks.protocols.vertical_mlp.backward import Slopes, receive_step, send_slopes, serve_gradient
from tombolo.fl_tasks.protocols.vertical_mlp.forward import Sums, on_grid, send_sums, send_units
from tombolo.fl_tasks.protocols.vertical_mlp.grid import Floats, Share
from tombolo.fl_tasks.protocols.vertical_mlp.messages import MESSAGES
from tombolo.fl_tasks.protocols.vertical_mlp.programs import NetworkPrograms, Shape, most_weights
from tombolo.fl_tasks.runtime.session import Session


class EncryptedGuest:
    """The side of the guest, with its ``shares`` of W by host. In training (``learns``) the guest has a key of its own too."""

    def __init__(self, session: Session, shares: dict[str, Share], shape: Shape, learns: bool) -> None:
        self._session, self.shares = session, shares
        self._key = own_key(session) if learns else None
        if self._key is not None:
            session.send("public_key", key=self._key.public.to_bytes())
        self._keys = {party: peer_key(session, party) for party in session.hosts}

    def sums(self, rows: int, batch: int) -> Floats:
        """Steps 1 to 3: the addends of the hosts to the joint sums, added up, shape (rows, sums)."""
        asked = {party: Sums(self._session, party, key, rows, batch) for party, key in self._keys.items()}
        for party, sums in asked.items():
            sums.ask(self.shares[party].w)
        return np.asarray(np.sum([sums.hear(self.shares[party].w.shape[1]) for party, sums in asked.items()], axis=0))

    def move(self, delta: Floats) -> None:
        """Steps 4 to 6. ``delta`` (rows, sums) are the derivatives of the mean loss of the batch, times the step size."""
        key = self._key
        assert key is not None
        for party, share in self.shares.items():
            send_slopes(self._session, key.public, party, delta, share.w)
        for party, share in self.shares.items():
            step = receive_step(self._session, key, party, share.w.shape)
            serve_gradient(self._session, key, party, most_weights(self._session, len(delta)))
            share.move(-step)


class EncryptedHost:
    """The side of a host, with its ``share`` of W."""

    def __init__(self, session: Session, share: Share, shape: Shape, learns: bool) -> None:
        self._session, self.share, self._key = session, share, own_key(session)
        session.send("public_key", session.guest, key=self._key.public.to_bytes())
        self._guests = peer_key(session, session.guest) if learns else None
        self._alpha: Any = None

    def show(self, units: Floats) -> None:
        """Steps 1 to 3 with the units (rows, units) of this host."""
        self._alpha = on_grid(self._session, units)
        send_units(self._session, self._key.public, self._alpha)
        send_sums(self._session, self._key, self._alpha, self.share.w)

    def gradient(self, x: Floats, bends: Floats, batch: int) -> Floats:
        """Steps 4 to 6: the gradient of the weights of this host times the step size, shape (inputs + 1, units)."""
        assert self._guests is not None
        units, sums = self.share.w.shape
        slopes = Slopes(self._session, self._guests, len(x), units, sums, batch)
        drawn = slopes.send_step(self._alpha)
        gradient = slopes.gradient(x, bends, self.share.w)
        self.share.move(drawn)
        return gradient


NETWORK = NetworkPrograms(EncryptedGuest, EncryptedHost)
PROGRAMS = NETWORK.programs(MESSAGES)
