"""The layer between the parties on shares that the arbiter deals: the same numbers as in the encrypted form, without ciphertexts.

Grids, shares of W and their noise are those of :mod:`tombolo.fl_tasks.protocols.vertical_mlp.grid`, so that both engines give the
same kind of model. In place of a ciphertext there is a value modulo 2^192 under a mask or a pad that is used once
(:mod:`tombolo.fl_tasks.protocols.vertical_mlp.dealing`). With D = delta W^T, the gradient of a host is X^T (f' D). D and f' D have
values per row, so they stay shares.
"""

from __future__ import annotations

import numpy as np

from tombolo.fl_tasks.crypto.fixedpoint import FEATURE_BITS, encode, encode_features
from tombolo.fl_tasks.protocols.vertical_mlp import dealing
from tombolo.fl_tasks.protocols.vertical_mlp.backward import check_slopes
from tombolo.fl_tasks.protocols.vertical_mlp.dealing import Masks, corrections_of, inputs_of, shaped, words
from tombolo.fl_tasks.protocols.vertical_mlp.forward import LARGEST_SUM, check_units
from tombolo.fl_tasks.protocols.vertical_mlp.grid import (
    ACTIVATION_BITS,
    MOVE_SLOT,
    SLOPE_BITS,
    WEIGHT_BITS,
    Floats,
    Grid,
    Share,
    noise,
)
from tombolo.fl_tasks.protocols.vertical_mlp.messages import TooLarge
from tombolo.fl_tasks.protocols.vertical_mlp.programs import NetworkPrograms, Shape
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.shares import wide
from tombolo.fl_tasks.shares.wide import Wide

_BEND_BITS = 24
_LARGEST_GRADIENT = 2.0**60
_GRADIENT_BITS = FEATURE_BITS + _BEND_BITS + SLOPE_BITS + WEIGHT_BITS


class DealtGuest:
    """The side of the guest."""

    def __init__(self, session: Session, shares: dict[str, Share], shape: Shape, learns: bool) -> None:
        assert session.arbiter is not None
        self._session, self.shares = session, shares
        session.send("rows", session.arbiter, count=shape[0])
        self._masks = Masks.received(session)
        self._units: dict[str, Wide] = {}

    def sums(self, rows: int, batch: int) -> Floats:
        """Steps 1 to 3: the addends of the hosts to the joint sums, added up, shape (rows, sums)."""
        weights = {party: wide.of_integers(share.w) for party, share in self.shares.items()}
        for party, w in weights.items():
            self._session.send("masked_weights", party, w=self._under("weights", party, w))
        return np.asarray(np.sum([self._sums_with(party, w, rows) for party, w in weights.items()], axis=0))

    def _sums_with(self, party: str, w: Wide, rows: int) -> Floats:
        units, sums = w.shape[:2]
        self._units[party] = words(self._session, "masked_units", "alpha", party, rows, units)
        own = self._padded("sums", party, wide.product(self._units[party], w))
        whole = wide.add(own, words(self._session, "shared_sums", "sums", party, rows, sums))
        addends = wide.floats(whole, ACTIVATION_BITS + WEIGHT_BITS)
        if not np.abs(addends).max(initial=0.0) <= LARGEST_SUM:
            raise TooLarge(party=party)
        return addends

    def move(self, delta: Floats) -> None:
        """Steps 4 to 6 with ``delta`` (rows, sums): give the hosts their gradients, and move the shares of W."""
        check_slopes(self._session, delta)
        slopes = wide.of(encode(delta, SLOPE_BITS))
        for party in self.shares:
            self._session.send("masked_slopes", party, delta=self._under("slopes", party, slopes))
        for party in self.shares:
            self._serve_gradient(party, slopes)
        for party, share in self.shares.items():
            share.move(-self._step(party, slopes, share))

    def _serve_gradient(self, party: str, slopes: Wide) -> None:
        session, w = self._session, wide.of_integers(self.shares[party].w)
        units, rows = w.shape[0], len(slopes)
        share = words(session, "masked_share", "w", party, *w.shape[:2])
        bends = words(session, "masked_bends", "bend", party, rows, units)
        inputs = inputs_of(session, party, rows, units)
        through = self._padded("through", party, wide.product(slopes, wide.transposed(wide.add(w, share))))
        bent = self._padded("bent", party, wide.times(bends, through))
        gradient = self._padded("gradient", party, wide.product(wide.transposed(inputs), bent))
        masked = {"through": self._under("masked through", party, through), "bent": self._under("masked bent", party, bent)}
        session.send("masked_unit_slopes", party, **masked)
        session.send("shared_gradient", party, gradient=gradient.ravel())

    def _step(self, party: str, slopes: Wide, share: Share) -> Grid:
        own = self._padded("step", party, wide.product(wide.transposed(self._units[party]), slopes))
        whole = wide.add(own, words(self._session, "shared_step", "step", party, *share.w.shape))
        step = wide.integers(whole)
        if max(abs(value) for value in step.ravel()) >> (MOVE_SLOT - 1):
            raise TooLarge(party=party)
        return step

    def _under(self, name: str, party: str, value: Wide) -> Wide:
        return wide.subtract(value, self._masks.draw(name, party, *value.shape[:-1])).ravel()

    def _padded(self, name: str, party: str, value: Wide) -> Wide:
        return wide.add(value, self._masks.draw(name, party, *value.shape[:-1]))


class DealtHost:
    """The side of a host."""

    def __init__(self, session: Session, share: Share, shape: Shape, learns: bool) -> None:
        assert session.arbiter is not None
        self._session, self._arbiter, self.share = session, session.arbiter, share
        if learns:
            session.send("columns", session.arbiter, count=shape[1])
        self._masks = Masks.received(session)
        self._under = wide.of(np.zeros((0, 0), np.int64))

    def show(self, units: Floats) -> None:
        """Steps 1 to 3 with the units (rows, units) of this host."""
        check_units(self._session, units)
        session, alpha = self._session, wide.of(encode(units, ACTIVATION_BITS))
        self._under = mask = self._mask("units", alpha)
        session.send("masked_units", session.guest, alpha=wide.subtract(alpha, mask).ravel())
        w = wide.of_integers(self.share.w)
        weights = words(session, "masked_weights", "w", session.guest, *w.shape[:2])
        correction = words(session, "sums_correction", "share", self._arbiter, len(alpha), w.shape[1])
        products = wide.add(wide.product(alpha, w), wide.product(mask, weights))
        session.send("shared_sums", sums=wide.add(products, correction).ravel())

    def gradient(self, x: Floats, bends: Floats, batch: int) -> Floats:
        """Steps 4 to 6: move W; returns the gradient of this host times the step size, shape (inputs + 1, units)."""
        session, guest, w = self._session, self._session.guest, wide.of_integers(self.share.w)
        (rows, units), sums = bends.shape, w.shape[1]
        inputs = wide.of(encode_features(np.column_stack([x, np.ones(rows)]), FEATURE_BITS))
        bent = wide.of(encode(bends, _BEND_BITS))
        given = {"share": ("w", w), "bends": ("bend", bent), "inputs": ("x", inputs)}
        masks = {name: self._mask(name, value) for name, (_, value) in given.items()}
        for name, (column, value) in given.items():
            session.send(f"masked_{name}", guest, **{column: wide.subtract(value, masks[name]).ravel()})
        slopes = words(session, "masked_slopes", "delta", guest, rows, sums)
        corrections = corrections_of(session, rows, x.shape[1], units, sums)

        drawn = noise(session.prf("noise", batch).stream("step"), self.share.w.shape)  # step 5
        step = wide.product(wide.transposed(self._under), slopes)
        step = wide.add(wide.add(step, corrections["step"]), wide.of_integers(drawn))
        session.send("shared_step", guest, step=step.ravel())

        masked = session.receive("masked_unit_slopes", guest, wide.WORDS * rows * units)  # step 6
        through, bent_slopes = (shaped(masked, name, guest, rows, units) for name in ("through", "bent"))
        own = wide.add(wide.product(slopes, wide.transposed(masks["share"])), corrections["through"])
        own = wide.add(wide.add(wide.times(bent, own), wide.times(masks["bends"], through)), corrections["bent"])
        share = wide.product(wide.transposed(inputs), own)
        share = wide.add(share, wide.product(wide.transposed(masks["inputs"]), bent_slopes))
        share = wide.add(share, corrections["gradient"])
        total = wide.add(share, words(session, "shared_gradient", "gradient", guest, inputs.shape[1], units))
        gradient = wide.floats(total, _GRADIENT_BITS)
        if not np.abs(gradient).max() <= _LARGEST_GRADIENT:
            raise TooLarge(party=guest)
        self.share.move(drawn)
        return gradient

    def _mask(self, name: str, value: Wide) -> Wide:
        return self._masks.draw(name, self._session.me, *value.shape[:-1])


NETWORK = NetworkPrograms(DealtGuest, DealtHost)
PROGRAMS = NETWORK.programs(dealing.MESSAGES, arbiter=dealing.arbiter)
