"""The side of the source: it has the labels and more rows than the common ones, and decides when to stop."""

from __future__ import annotations

import numpy as np

from tombolo.fl_tasks.crypto.fixedpoint import encode
from tombolo.fl_tasks.crypto.vector import CipherVector, encrypt
from tombolo.fl_tasks.learning.vertical.key_holder import own_key, peer_key, vector
from tombolo.fl_tasks.learning.vertical.rows import BadLabel
from tombolo.fl_tasks.protocols.transfer.encrypted import BITS, Floats, Half, Masked, TooRareClass, product, sane, serve
from tombolo.fl_tasks.protocols.transfer.net import PartyNet
from tombolo.fl_tasks.protocols.transfer.objective import Objective, SourceRows, moved, mover, pretrained
from tombolo.fl_tasks.protocols.transfer.protocol import TransferParameters, TransferTerms
from tombolo.fl_tasks.protocols.transfer.rows import TransferRows, guard_rows, labelled_of, most_sums
from tombolo.fl_tasks.protocols.transfer.stopping import settled
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.session import Session

_LARGEST_WEIGHT = 2.0**11


def guest(session: Session, rows: TransferRows) -> State:
    """The side of the source. Returns its last state: weights ``w``, ``phi`` of shape (width,) and the ``loss`` list."""
    terms, params = session.terms.task.section(TransferTerms), session.parameters(TransferParameters)
    assert terms is not None
    source, party_net = _source(session, rows), PartyNet.of(terms, rows.x.shape[1])
    labelled, width = source.labelled, party_net.width
    guard_rows(session, party_net, labelled)
    key, (host,) = own_key(session), session.hosts
    session.send("public_key", key=key.public.to_bytes())
    host_key = peer_key(session, host)
    half, objective = Half.of(width), Objective.of(params)
    state = session.latest or {"w": _first(party_net, source, params, objective), "loss": []}
    side = _Numbers(session, source, party_net, objective, half)
    for number in session.rounds():
        w = state["w"]
        u = party_net.features(w, source.x)
        phi = source.lead @ u
        first = side.row_terms(u, phi)
        session.send("source_terms", c=encrypt(key.public, side.terms(first, phi), session.pool).to_arrow())  # step 1
        received = vector(session, "target_terms", "c", host_key, side.expected, host)
        masked = Masked(session, host_key, host, "source_gradient")
        masked.send(side.sums(w, received, first, phi))  # step 4 comes before step 3: both parties compute at the same time
        serve(session, key, "target_gradient", host, most_sums(session, width, labelled))  # step 3
        *sums, lost = masked.receive()
        gradient = sane(sums, 3 * BITS, host, labelled) + side.own_gradient(w, u)
        loss = float(sane([lost], 2 * BITS, host, labelled)[0]) + side.own_loss(w, u)
        losses = [*state["loss"], loss]
        stop = settled(losses, params)
        session.send("stop", yes=stop)  # step 5
        w, kept = moved(mover(params, len(w), state), w, gradient)
        after = source.lead @ party_net.features(w, source.x)
        state = session.checkpoint({"w": w, **kept, "phi": after, "loss": losses, "stopped": stop})
        session.report(round=number, loss=loss)
    return state


def _source(session: Session, rows: TransferRows) -> SourceRows:
    y = rows.y
    if y is None or set(np.unique(y)) != {0.0, 1.0}:
        raise BadLabel(party=session.me)
    balanced = session.parameters(TransferParameters).class_weights == "balanced"
    source = SourceRows.of(rows.x, y, rows.common, labelled_of(session.parameters(TransferParameters), rows.common), balanced)
    if source.v.max() > _LARGEST_WEIGHT:
        raise TooRareClass(party=session.me)
    return source


def _first(party_net: PartyNet, source: SourceRows, params: TransferParameters, objective: Objective) -> Floats:
    return pretrained(party_net, party_net.initial(params.seed, "guest"), source, params, objective)


class _Numbers:
    """The numbers of a round. All are multiplied by the number of labelled rows, so that they are not too small in fixed point."""

    def __init__(self, session: Session, source: SourceRows, party_net: PartyNet, objective: Objective, half: Half) -> None:
        self._session, self._source, self._party_net, self._objective = session, source, party_net, objective
        self._half, self._labelled = half, source.labelled
        self._gamma = objective.gamma * self._labelled / source.common
        self._y, self._v = source.y[: self._labelled], source.v[: self._labelled]
        self._weighted = session.parameters(TransferParameters).class_weights == "balanced"

    @property
    def expected(self) -> int:
        """How many ciphertexts the target sends: its numbers, their products in pairs, and its own part of the loss."""
        return self._source.common * self._party_net.width + len(self._half) * (self._labelled if self._weighted else 1) + 1

    def row_terms(self, u: Floats, phi: Floats) -> Floats:
        """The part of dL/du_B,i that does not depend on u_B, shape (common, width)."""
        slopes = -2.0 * self._gamma * u[: self._source.common]
        slopes[: self._labelled] += np.outer(-self._v * self._y / 2, phi)
        return np.asarray(slopes)

    def terms(self, first: Floats, phi: Floats) -> list[int]:
        """The row terms, and the factor of u_B: Phi^T Phi / 4. With class weights: this factor for every row, times its weight."""
        square = self._half.squares(phi[None])[0] / 4
        squares = np.outer(self._v, square) if self._weighted else square
        return [*encode(first.ravel(), 2 * BITS).tolist(), *encode(squares.ravel(), BITS).tolist()]

    def sums(self, w: Floats, received: CipherVector, first: Floats, phi: Floats) -> CipherVector:
        """The parts that depend on the target: [[gradient]] with 72 fractional bits, and [[loss]] with 48."""
        common, width = self._source.common, self._party_net.width
        with_phi = product(self._session, self._to_phi(first, phi), received)
        aligned = received[: common * width].times([round(-2.0 * self._gamma * 2.0**BITS)] * (common * width), self._session.pool)
        jacobian = self._party_net.jacobian(w, self._source.x[:common])
        by_phi = np.array(
            [self._party_net.gradient(w, self._source.x, np.outer(self._source.lead, unit)) for unit in np.eye(width)]
        )
        gradient = product(self._session, np.vstack([jacobian, by_phi]), CipherVector.concatenate([aligned, with_phi[:width]]))
        return CipherVector.concatenate([gradient, with_phi[width]])

    def _to_phi(self, first: Floats, phi: Floats) -> Floats:
        """The matrix that turns the ciphertexts of the target into dL/dPhi and the loss, shape (expected, width + 1)."""
        common, width, half = self._source.common, self._party_net.width, self._half
        numbers = np.zeros((common, width, width + 1))
        units = np.arange(width)
        numbers[: self._labelled, units, units] = (-self._v * self._y / 2)[:, None]
        numbers[:, :, width] = first
        twice = np.where(half.first == half.second, 1.0, 2.0)
        squares = np.zeros((len(half), width + 1))
        at = np.arange(len(half))
        squares[at, half.first] = phi[half.second] / 4
        squares[at, half.second] = phi[half.first] / 4
        squares[:, width] = twice * phi[half.first] * phi[half.second] / 8
        every = np.concatenate([weight * squares for weight in self._v]) if self._weighted else squares
        own = np.zeros((1, width + 1))
        own[0, width] = 1.0
        return np.concatenate([numbers.reshape(common * width, width + 1), every, own])

    def own_gradient(self, w: Floats, u: Floats) -> Floats:
        """The part of the gradient that the source can compute alone."""
        common = self._source.common
        slope = 2.0 * self._objective.gamma / common * u[:common]
        return self._party_net.gradient(w, self._source.x[:common], slope) + self._objective.decay(self._party_net, w)

    def own_loss(self, w: Floats, u: Floats) -> float:
        """The part of the loss that the source can compute alone."""
        near = self._objective.gamma * float((u[: self._source.common] ** 2).sum(axis=1).mean())
        return float(np.log(2.0) * self._v.mean()) + near + self._objective.penalty(self._party_net, w)
