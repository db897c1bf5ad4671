"""Vertical regression of a quadratic loss with an arbiter: the white paper's section 3.4, steps 1 to 4, every round.

The loss is ``curvature / (2 n) * sum (u - t)^2 + l2/2 |w|^2`` with ``u = sum_k X_k w_k``: least squares (curvature 1, t = y)
and Hardy's Taylor form of the logistic loss (curvature 1/4, t = 4 y - 2). A round computes the residual at a trial point
one step ahead. Since the loss is quadratic, three inner products then give the next step of a preconditioned conjugate gradient
method. The arbiter learns their sums over the parties; zero-sum masks hide the addends. With ``batch_rows`` the step is a plain
one on a batch. The engine decides how X^T d is computed: on ciphertexts here, on dealt shares in
:mod:`tombolo.fl_tasks.learning.vertical.dealt_quadratic`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tombolo.fl_tasks.crypto.ahead import Ahead
from tombolo.fl_tasks.crypto.fixedpoint import decode, encode
from tombolo.fl_tasks.crypto.matvec import transposed_product
from tombolo.fl_tasks.crypto.vector import CipherVector, decrypt, encrypt
from tombolo.fl_tasks.learning.parameters import Batched, Regression
from tombolo.fl_tasks.learning.rounding import shown
from tombolo.fl_tasks.learning.vertical.key_holder import (
    RESIDUAL_BITS,
    MaskedGradient,
    RowNumbers,
    gradient_messages,
    most_columns,
    own_key,
    peer_key,
    public_key_message,
    serve_gradients,
    vector,
)
from tombolo.fl_tasks.learning.vertical.messages import CONVERGED, LOSS, TRAINING_ROWS
from tombolo.fl_tasks.learning.vertical.rows import (
    LONGEST_STEP,
    MOST_ROWS,
    Floats,
    VerticalRows,
    guard_batch,
    guard_label,
    penalties,
    solver,
)
from tombolo.fl_tasks.learning.vertical.shares import total, zero_sum
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.programs import Programs
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.meters import PROGRESS
from tombolo.storage.roles import ARBITER, DATA, GUEST, HOST
from tombolo.storage.schema import FEW, Disclosed, Message, MessageSet, Pad64, Paillier

_SCALARS = 6
_STEP = (
    Message(
        "scalars",
        DATA,
        ARBITER,
        {"share": Pad64(PROGRESS)},
        learns="sums over the data parties: inner products of gradients and directions, and the loss without the encrypted squares",
        step="6",
        limit="never one party's own numbers; zero-sum masks modulo 2^128",
        rows=FEW,
    ),
    CONVERGED,
    Message(
        "step",
        ARBITER,
        DATA,
        {
            "alpha": Disclosed("float64", "length of the step", "one number per round", PROGRESS),
            "beta": Disclosed("float64", "share of the old direction", "one number per round", PROGRESS),
            "stop": Disclosed("bool", "when to stop", "one bit per round", PROGRESS),
        },
        learns="the common step length, direction share and stop bit",
        step="7",
        limit="three numbers per round",
    ),
    LOSS,
)
ENCRYPTED = (
    public_key_message(ARBITER, DATA),
    Message(
        "partial_residual",
        HOST,
        DATA,
        {"c": Paillier(ARBITER)},
        learns="nothing: ciphertexts under the arbiter's key (a partial sum per row, then one partial sum of squares)",
        step="1",
        rows=None,
    ),
    Message(
        "residual",
        GUEST,
        HOST,
        {"c": Paillier(ARBITER)},
        learns="nothing: ciphertexts under the arbiter's key",
        step="2",
        rows=None,
    ),
    Message(
        "squared_residuals",
        GUEST,
        ARBITER,
        {"c": Paillier(ARBITER, PROGRESS)},
        learns="the sum of squared residuals, one number per round",
        step="3",
        limit="one aggregate over all training rows",
    ),
    *gradient_messages(ARBITER, DATA),
)
"""Messages of steps 0 to 5 on ciphertexts."""


def with_engine(protocol: str, *engine: Message | MessageSet) -> MessageSet:
    """The messages of a quadratic protocol on an engine."""
    return MessageSet(protocol, TRAINING_ROWS, *engine, *_STEP)


class Party(Protocol):
    """A data party's side of an engine. It is made with the first weights, and with the party's part of the residual there."""

    def gradient(self, part: Floats, rows: RowNumbers) -> Floats:
        """Steps 1 to 6: this party's X^T d over ``rows``, where d is the sum of all parties' ``part``; shape (columns,)."""

    def squares(self, w: Floats, sums: Floats) -> float:
        """This party's addend of sum d^2 at ``w``, where ``gradient`` gave ``sums``; 0 if sum d^2 has a message of its own."""


class Helper(Protocol):
    """The arbiter's side of an engine."""

    def squares(self) -> float:
        """Steps 3 to 5: do the arbiter's work of a round; returns sum d^2 if it has a message of its own, else 0."""


class EncryptedParty:
    """A data party on ciphertexts under the arbiter's key."""

    def __init__(self, session: Session, data: VerticalRows, start: Floats, part: Floats) -> None:
        assert session.arbiter is not None
        self._session, self._data, self._arbiter = session, data, session.arbiter
        self._key = peer_key(session, session.arbiter)
        self._ready = Ahead(self._key, session.pool)

    def gradient(self, part: Floats, rows: RowNumbers) -> Floats:
        session, key = self._session, self._key
        chain, me = session.data_parties, session.data_parties.index(session.me)
        plain = encode(part, RESIDUAL_BITS)
        squares = [sum(value * value for value in plain.tolist())]
        if me == 0:
            residual = self._ready.encrypt(plain)
            partial = CipherVector.concatenate([residual, encrypt(key, squares)])
        else:
            before = vector(session, "partial_residual", "c", key, len(rows) + 1, chain[me - 1])
            cross = transposed_product(2 * plain[:, None], before[: len(rows)], session.pool)
            residual = before[: len(rows)] + self._ready.encrypt(plain)
            partial = CipherVector.concatenate([residual, (before[len(rows) :] + cross + encrypt(key, squares))])
        if session.another_round:
            self._ready.prepare(len(rows))
        if session.me != session.guest:
            session.send("partial_residual", chain[me + 1], c=partial.to_arrow())
            masked = MaskedGradient(session, key, self._arbiter, self._data.x.shape[1])
            residual = vector(session, "residual", "c", key, len(rows), session.guest)
        else:
            session.send("residual", c=residual.to_arrow())
            session.send("squared_residuals", c=partial[len(rows) :].rerandomise_full().to_arrow())
            masked = MaskedGradient(session, key, self._arbiter, self._data.x.shape[1])
        masked.send(self._data, residual, rows)
        return masked.receive()

    def squares(self, w: Floats, sums: Floats) -> float:
        return 0.0


class EncryptedHelper:
    """The arbiter as the key holder."""

    def __init__(self, session: Session, rows: int) -> None:
        self._session, self._key = session, own_key(session)
        self._most = most_columns(session, batch_size(session, rows))
        session.send("public_key", key=self._key.public.to_bytes())

    def squares(self) -> float:
        session, key = self._session, self._key
        (squares,) = decode(
            decrypt(key, vector(session, "squared_residuals", "c", key.public, 1, session.guest)), 2 * RESIDUAL_BITS
        )
        serve_gradients(session, key, self._most)
        return float(squares)


@dataclass(frozen=True)
class Quadratic:
    """The role programs for one curvature and engine; ``binary`` says that the label is 0/1 and the target 4y - 2."""

    curvature: float
    binary: bool
    party: Callable[[Session, VerticalRows, Floats, Floats], Party] = EncryptedParty
    helper: Callable[[Session, int], Helper] = EncryptedHelper

    def target(self, y: Floats) -> Floats:
        """The target of the quadratic loss, shape (rows,)."""
        return 4 * y - 2 if self.binary else y

    def programs(self, messages: MessageSet) -> Programs[VerticalRows]:
        """The role programs with their messages."""
        return Programs(messages, {GUEST: self.guest, HOST: self.host}, {ARBITER: self.arbiter})

    # -- data parties -----------------------------------------------------------------------------------------------------

    def guest(self, session: Session, data: VerticalRows) -> State:
        """The guest's side; returns the last state with ``w`` (intercept first) and the ``loss`` list."""
        target = self.target(guard_label(session, data, self.binary))
        return self._data_party(session, data.with_intercept(), target)

    def host(self, session: Session, data: VerticalRows) -> State:
        """A host's side; returns the last state with ``w``."""
        return self._data_party(session, data, None)

    def _data_party(self, session: Session, data: VerticalRows, target: Floats | None) -> State:
        batch = batch_size(session, data.rows)
        guard_batch(session, data, batch)
        batches = _batches(session, data.rows, batch)
        if target is not None:
            session.send("training_rows", rows=data.rows)
        assert session.arbiter is not None
        columns = data.x.shape[1]
        start = np.zeros(columns)
        if target is not None:
            start[0] = target.mean()  # the first intercept; residuals are then no larger than the label's deviation
        party = self.party(session, data, start, _part(data, start, target))
        penalty = penalties(session, columns)
        preconditioner = solver(len(session.data_parties) * data.curvature(self.curvature, penalty))
        state = session.latest or {"w": start, "p": np.zeros(columns), "g": np.zeros(columns), "loss": []}
        for number in session.rounds():
            rows = batches[(number - 1) % len(batches)]
            trial = state["w"] + state["p"]
            sums = party.gradient(_part(data, trial, target)[rows], rows)
            there = self.curvature * sums / len(rows) + penalty * trial
            small = bool(np.abs(state["g"]).max(initial=0) <= _small_enough(session, state))
            curved = there - state["g"]
            z, zc = preconditioner @ state["g"], preconditioner @ curved
            scalars = [state["g"] @ state["p"], state["p"] @ curved, state["g"] @ z, curved @ z, curved @ zc]
            squares = self.curvature / len(rows) * party.squares(trial, sums)
            scalars.append((float(penalty @ trial**2) + squares) / 2)
            session.send("scalars", share=zero_sum(session, session.data_parties, scalars, "step"))
            session.send("converged", yes=small and number > 1)
            step = session.receive("step", session.arbiter)
            alpha, beta = (session.scalar(step, name, -LONGEST_STEP, LONGEST_STEP) for name in ("alpha", "beta"))
            w = state["w"] + alpha * state["p"]
            g = state["g"] + alpha * curved
            if len(batches) > 1:
                g, p = there, -session.parameters(Batched).step / np.sqrt(number) * there
            else:
                p = -preconditioner @ g + beta * state["p"]
            loss = [*state["loss"]]
            if target is not None:
                loss.append(session.scalar(session.receive("loss", session.arbiter), "loss"))
            first = state.get("first", float(np.abs(there).max()))
            stopped = session.scalar(step, "stop")
            state = session.checkpoint({"w": w, "p": p, "g": g, "loss": loss, "first": first, "stopped": stopped})
            session.report(round=number, **({"loss": loss[-1]} if loss else {}))
        return state

    # -- the arbiter ------------------------------------------------------------------------------------------------------

    def arbiter(self, session: Session) -> State:
        """Help with gradients and learn the loss; tell the data parties the step and when to stop."""
        total_rows = int(session.scalar(session.receive("training_rows", session.guest), "rows", 1, MOST_ROWS))
        sizes = [len(rows) for rows in _parts(np.arange(total_rows), batch_size(session, total_rows))]
        helper = self.helper(session, total_rows)
        state: State = session.latest or {"loss": []}
        for number in session.rounds():
            squares = helper.squares()
            slope, bend, gz, hz, hh, rest = total(session.receive_all("scalars"), _SCALARS)
            votes = [session.scalar(vote, "yes") for vote in session.receive_all("converged").values()]
            trial = self.curvature / 2 * squares / sizes[(number - 1) % len(sizes)] + rest
            alpha, beta, loss = _step(slope, bend, gz, hz, hh, trial)
            if len(sizes) > 1:
                alpha, beta, loss = 1.0, 0.0, trial
            stop = all(votes)
            session.send("step", alpha=alpha, beta=beta, stop=stop)
            session.send("loss", loss=shown(loss))
            state = session.checkpoint({"loss": [*state["loss"], loss], "stopped": stop})
            session.report(round=number, loss=loss)
        return state


def _step(slope: float, bend: float, gz: float, hz: float, hh: float, trial: float) -> tuple[float, float, float]:
    """Exact step along the direction, share of the old direction, and the loss after the step.

    ``slope`` = g.p, ``bend`` = p.Hp, ``gz`` = g.z, ``hz`` = Hp.z, ``hh`` = Hp.M^-1 Hp; the first round has no
    direction yet, and takes the trial point itself.
    """
    if bend <= 0 or gz <= 0:
        return 1.0, 0.0, trial
    alpha = -slope / bend
    after = gz + 2 * alpha * hz + alpha * alpha * hh
    start = trial - slope - bend / 2
    return alpha, max(after, 0.0) / gz, start + alpha * slope + alpha * alpha * bend / 2


def _part(data: VerticalRows, w: Floats, target: Floats | None) -> Floats:
    """This party's addend of all rows' residuals, shape (rows,)."""
    part: Floats = data.rounded @ w
    return part if target is None else part - target


def _small_enough(session: Session, state: State) -> float:
    """The tolerance. It is relative to the first gradient if that exceeds 1, as it does for labels in large units."""
    return session.parameters(Regression).tolerance * max(1.0, float(state.get("first", 1.0)))


def batch_size(session: Session, rows: int) -> int:
    """Rows of one round: all, or, where the engine allows batches, as many as the run's parameters say."""
    return session.params.batch(rows) if isinstance(session.params, Batched) else rows


def _batches(session: Session, rows: int, batch: int) -> list[RowNumbers]:
    """The rows of each batch, which the data parties draw together once per run. A batch of new rows in every round would be a new
    equation about the same labels."""
    return [np.sort(part) for part in _parts(session.common().stream("batches").permutation(rows), batch)]


def _parts(order: RowNumbers, batch: int) -> list[RowNumbers]:
    """Rows in parts of at least ``batch`` rows; the sizes differ by one at most."""
    return np.array_split(order, max(1, len(order) // batch))
