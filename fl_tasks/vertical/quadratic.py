"""Vertical regression of a quadratic loss with an arbiter: the white paper's section 3.4, steps 1 to 4, every round.

The loss is ``curvature / (2 n) * sum (u - t)^2 + l2/2 |w|^2`` with ``u = sum_k X_k w_k``: least squares (curvature 1, t = y)
and Hardy's Taylor form of the logistic loss (curvature 1/4, t = 4 y - 2). One round's residual is taken at a trial point one
step ahead; since the loss is quadratic, that gives the next step of a preconditioned conjugate gradient method from three
inner products, whose sums over the parties the arbiter learns under zero-sum masks. With ``batch_rows`` the step is a plain
one on a batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fl_tasks.checkpoints import State
from fl_tasks.crypto.fixedpoint import decode, encode
from fl_tasks.crypto.matvec import transposed_product
from fl_tasks.crypto.paillier import PublicKey
from fl_tasks.crypto.vector import CipherVector, decrypt, encrypt
from fl_tasks.session import Session
from fl_tasks.vertical.block import Block, Floats, guard_batch, guard_label, penalties, solver
from fl_tasks.vertical.key_holder import (
    RESIDUAL_BITS,
    MaskedGradient,
    Rows,
    gradient_messages,
    own_key,
    peer_key,
    public_key_message,
    serve_gradients,
    vector,
)
from fl_tasks.vertical.shares import total, zero_sum
from storage.roles import ARBITER, DATA, GUEST, HOST
from storage.schema import Contract, Disclosed, Message, Pad64, Paillier, Public

_SCALARS = 6


def contract(protocol: str) -> Contract:
    """The messages of a quadratic protocol."""
    to_holder, back = gradient_messages(ARBITER, DATA)
    return Contract(
        protocol,
        public_key_message(ARBITER, DATA),
        Message(
            "training_rows",
            GUEST,
            ARBITER,
            {"rows": Public("int64", "divides sums; the alignment tells it to all parties")},
            learns="the number of training rows",
            step="0",
        ),
        Message(
            "partial_residual",
            HOST,
            DATA,
            {"c": Paillier(ARBITER)},
            learns="nothing: ciphertexts under the arbiter's key (rows partial sums, then one partial sum of squares)",
            step="1",
        ),
        Message(
            "residual",
            GUEST,
            HOST,
            {"c": Paillier(ARBITER)},
            learns="nothing: ciphertexts under the arbiter's key",
            step="2",
        ),
        Message(
            "squared_residuals",
            GUEST,
            ARBITER,
            {"c": Paillier(ARBITER)},
            learns="the sum of squared residuals, one number per round",
            step="3",
            limit="one aggregate over all training rows",
        ),
        to_holder,
        back,
        Message(
            "scalars",
            DATA,
            ARBITER,
            {"share": Pad64()},
            learns="sums over the data parties of six inner products of gradients and directions",
            step="6",
            limit="no party's own share; zero-sum masks modulo 2^128",
        ),
        Message(
            "converged",
            DATA,
            ARBITER,
            {"yes": Disclosed("bool", "when to stop", "one bit per round")},
            learns="whether the sender's gradient is small",
            step="6",
            limit="one bit per party and round",
        ),
        Message(
            "step",
            ARBITER,
            DATA,
            {
                "alpha": Disclosed("float64", "length of the step", "one number per round"),
                "beta": Disclosed("float64", "share of the old direction", "one number per round"),
                "stop": Disclosed("bool", "when to stop", "one bit per round"),
            },
            learns="the common step length, direction share and stop bit",
            step="7",
            limit="three numbers per round",
        ),
        Message(
            "loss",
            ARBITER,
            GUEST,
            {"loss": Disclosed("float64", "progress of training", "one aggregate per round")},
            learns="the regularised training loss",
            step="7",
            limit="one aggregate per round",
        ),
    )


@dataclass(frozen=True)
class Quadratic:
    """The role programs for one curvature; ``binary`` says that the label is 0/1 and the target 4y - 2."""

    curvature: float
    binary: bool

    def target(self, y: Floats) -> Floats:
        return 4 * y - 2 if self.binary else y

    # -- data parties -----------------------------------------------------------------------------------------------------

    def guest(self, session: Session, block: Block) -> State:
        """The guest's side; returns the last state with ``w`` (intercept first) and the ``loss`` list."""
        target = self.target(guard_label(session, block, self.binary))
        return self._data_party(session, block.with_intercept(), target)

    def host(self, session: Session, block: Block) -> State:
        """A host's side; returns the last state with ``w``."""
        return self._data_party(session, block, None)

    def _data_party(self, session: Session, block: Block, target: Floats | None) -> State:
        batch = _batch_rows(session, block)
        guard_batch(session, block, batch)
        if target is not None:
            session.send("training_rows", rows=block.rows)
        assert session.arbiter is not None
        key = peer_key(session, session.arbiter)
        columns = block.x.shape[1]
        penalty = penalties(session, columns)
        preconditioner = solver(len(session.data_parties) * block.curvature(self.curvature, penalty))
        state = session.latest or {"w": np.zeros(columns), "p": np.zeros(columns), "g": np.zeros(columns), "loss": []}
        for number in session.rounds(int(session.params["rounds"])):
            rows = _batch(session, number, block.rows, batch)
            trial = state["w"] + state["p"]
            sums = self._gradient(session, block, key, trial, target, rows)
            there = self.curvature * sums / len(rows) + penalty * trial
            small = bool(np.abs(state["g"]).max(initial=0) <= _small_enough(session, state))
            curved = there - state["g"]
            z, zc = preconditioner @ state["g"], preconditioner @ curved
            scalars = [state["g"] @ state["p"], state["p"] @ curved, state["g"] @ z, curved @ z, curved @ zc]
            scalars.append(float(penalty @ trial**2) / 2)
            session.send("scalars", share=zero_sum(session, session.data_parties, scalars, "step"))
            session.send("converged", yes=small and number > 1)
            step = session.receive("step", session.arbiter)
            alpha, beta = (session.scalar(step, name) for name in ("alpha", "beta"))
            w = state["w"] + alpha * state["p"]
            g = state["g"] + alpha * curved
            if batch < block.rows:
                g, p = there, -float(session.params["step"]) / np.sqrt(number) * there
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

    def _gradient(self, session: Session, block: Block, key: PublicKey, w: Floats, target: Floats | None, rows: Rows) -> Floats:
        """Steps 1 to 6: this party's X^T (u - t) over ``rows``."""
        chain, me = session.data_parties, session.data_parties.index(session.me)
        own = block.rounded[rows] @ w - (target[rows] if target is not None else 0)
        plain = encode(own, RESIDUAL_BITS)
        squares = [sum(value * value for value in plain.tolist())]
        if me == 0:
            residual = encrypt(key, plain, session.pool)
            partial = CipherVector.concatenate([residual, encrypt(key, squares)])
        else:
            table = session.receive("partial_residual", chain[me - 1])
            before = vector(session, table, "c", key, len(rows) + 1, chain[me - 1])
            cross = transposed_product(2 * plain[:, None], before[: len(rows)], session.pool)
            residual = (before[: len(rows)] + encrypt(key, plain, session.pool)).rerandomise(session.pool)
            partial = CipherVector.concatenate([residual, (before[len(rows) :] + cross + encrypt(key, squares))])
        if target is None:
            session.send("partial_residual", chain[me + 1], c=partial.to_arrow())
            residual = vector(session, session.receive("residual", session.guest), "c", key, len(rows), session.guest)
        else:
            session.send("residual", c=residual.to_arrow())
            session.send("squared_residuals", c=partial[len(rows) :].rerandomise_full().to_arrow())
        assert session.arbiter is not None
        masked = MaskedGradient(session, key, session.arbiter)
        masked.send(block, residual, rows)
        return masked.receive()

    # -- the arbiter ------------------------------------------------------------------------------------------------------

    def arbiter(self, session: Session) -> State:
        """Decrypt masked gradients and the loss; tell everybody the step and when to stop."""
        key = own_key(session)
        session.send("public_key", key=key.public.to_bytes())
        total_rows = int(session.scalar(session.receive("training_rows", session.guest), "rows"))
        given = session.params.get("batch_rows")
        batch = min(int(given), total_rows) if given else total_rows
        state: State = session.latest or {"loss": []}
        for number in session.rounds(int(session.params["rounds"])):
            table = session.receive("squared_residuals", session.guest)
            (squares,) = decode(decrypt(key, vector(session, table, "c", key.public, 1, session.guest)), 2 * RESIDUAL_BITS)
            serve_gradients(session, key)
            shares = session.receive_all("scalars").values()
            slope, bend, gz, hz, hh, ridge = total((session.values(one, "share") for one in shares), _SCALARS)
            votes = [session.scalar(one, "yes") for one in session.receive_all("converged").values()]
            trial = self.curvature / 2 * squares / batch + ridge
            alpha, beta, loss = _step(slope, bend, gz, hz, hh, trial)
            if batch < total_rows:
                alpha, beta, loss = 1.0, 0.0, trial
            stop = all(votes)
            session.send("step", alpha=alpha, beta=beta, stop=stop)
            session.send("loss", loss=loss)
            state = session.checkpoint({"loss": [*state["loss"], loss], "stopped": stop})
            session.report(round=number, loss=loss)
        return state


def _step(slope: float, bend: float, gz: float, hz: float, hh: float, trial: float) -> tuple[float, float, float]:
    """Exact step along the direction, share of the old direction, and the loss after the step.

    ``slope`` = g.p, ``bend`` = p.Hp, ``gz`` = g.z, ``hz`` = Hp.z, ``hh`` = Hp.M^-1 Hp; without a direction yet (first round)
    the trial point itself is taken.
    """
    if bend <= 0 or gz <= 0:
        return 1.0, 0.0, trial
    alpha = -slope / bend
    after = gz + 2 * alpha * hz + alpha * alpha * hh
    start = trial - slope - bend / 2
    return alpha, max(after, 0.0) / gz, start + alpha * slope + alpha * alpha * bend / 2


def _small_enough(session: Session, state: State) -> float:
    """The tolerance is relative to the first gradient where that exceeds 1, as it does for labels in large units."""
    return float(session.params["tolerance"]) * max(1.0, float(state.get("first", 1.0)))


def _batch_rows(session: Session, block: Block) -> int:
    given = session.params.get("batch_rows")
    return min(int(given), block.rows) if given else block.rows


def _batch(session: Session, number: int, rows: int, batch: int) -> Rows:
    """The rows of one round: all of them, or a batch that the data parties draw together."""
    if batch >= rows:
        return np.arange(rows)
    return np.sort(session.common().stream("batch", number).permutation(rows)[:batch])
