"""Vertical logistic regression on dealt shares, with the arbiter as a blind sigmoid
(tombolo.fl_tasks.protocols.logistic_arbiter.programs).

The arbiter does the same for the sigmoid as on ciphertexts: it learns the unordered multiset of logit magnitudes, here from shares
whose masks cancel in the sum, and answers with shares of the sigmoids. Each host draws its share from its seed. The guest gets the
rest.
"""

from __future__ import annotations

import numpy as np

from tombolo.fl_tasks.learning.vertical.dealt_gradient import MESSAGES as DEALT_GRADIENT
from tombolo.fl_tasks.learning.vertical.dealt_gradient import Dealer, DealtGradient, ring_values
from tombolo.fl_tasks.learning.vertical.rows import Floats, VerticalRows
from tombolo.fl_tasks.learning.vertical.scoring import masked, unmasked
from tombolo.fl_tasks.protocols.logistic_arbiter.programs import MAX_LOGIT, Oracle, disguise, places, with_engine
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.shares.ring import Ring, Scale
from tombolo.storage.meters import ROWS
from tombolo.storage.roles import ARBITER, DATA, GUEST
from tombolo.storage.schema import Message, Pad64

_LOGITS = Message(
    "logits",
    DATA,
    ARBITER,
    {"share": Pad64(ROWS)},
    learns="the unordered multiset of logit magnitudes (order permuted, signs flipped at random), once all shares are added",
    step="1",
    limit="no ids, signs or labels; in late rounds logits hardly change, so the same unnamed row may be linked by its value",
    rows=None,
)
_SIGMOIDS = Message(
    "sigmoids",
    ARBITER,
    GUEST,
    {"share": Pad64()},
    learns="uniformly random values: the shares that the hosts draw from their seeds are missing in the sum",
    step="2",
    limit="each mask is used in one round only",
    rows=None,
)
_LARGEST = 1.0  # the largest magnitude of a residual sigmoid(u) - y


class DealtParty:
    """A data party on shares."""

    def __init__(self, session: Session, data: VerticalRows, label: Floats | None) -> None:
        self._session, self._data, self._label = session, data, label
        self._scale = Scale.of(data.rows, _LARGEST)
        self._gradient = DealtGradient(session, data)

    def gradient(self, w: Floats) -> Floats:
        """Steps 1 to 6 on shares: X^T (sigmoid(u) - y) for the columns of this party."""
        session = self._session
        order, signs = disguise(session, self._data.rows)
        logits = np.clip(self._data.rounded @ w, -MAX_LOGIT, MAX_LOGIT)
        session.send("logits", share=masked(session, session.data_parties, logits[order] * signs, "logits"))
        share = self._sigmoids() * signs.view(np.uint64)  # sigmoid(u) - 1/2 is odd in u: the sign of u becomes its sign
        share = share[places(order)]
        if self._label is not None:
            share = share + self._scale.encode(0.5 - self._label)
        return self._gradient(share, self._scale)

    def _sigmoids(self) -> Ring:
        """Step 2: the share of this party of sigmoid(s u) - 1/2, in the permuted order of the round."""
        session, rows = self._session, self._data.rows
        if self._label is None:
            return self._gradient.masks.sigmoid(session.round, rows)
        assert session.arbiter is not None
        return ring_values(session, "sigmoids", "share", session.arbiter, rows)


class DealtHelper:
    """The arbiter on shares."""

    def __init__(self, session: Session, rows: int) -> None:
        self._session, self._rows, self._scale = session, rows, Scale.of(rows, _LARGEST)
        self._dealer = Dealer(session, rows)

    def logits(self) -> Floats:
        """Step 1: deal the masks of the round, and add up the shares of the logits."""
        self._dealer.deal()
        parties = self._session.data_parties
        return unmasked(ring_values(self._session, "logits", "share", party, self._rows) for party in parties)

    def answer(self, odd: Floats) -> None:
        """Step 2: send the guest its share of ``odd``; the hosts draw theirs from their seeds."""
        share = self._scale.encode(odd)
        for host in self._session.hosts:
            share = share - self._dealer.masks[host].sigmoid(self._session.round, self._rows)
        self._session.send("sigmoids", share=share)


MESSAGES = with_engine("logistic-arbiter-dealer", _LOGITS, _SIGMOIDS, DEALT_GRADIENT)
PROGRAMS = Oracle(party=DealtParty, helper=DealtHelper).programs(MESSAGES)
