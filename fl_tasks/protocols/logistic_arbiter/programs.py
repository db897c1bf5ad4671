"""Vertical logistic regression with the arbiter as a blind sigmoid: exact loss, and no logit of a row at any data party.

In each round the data parties permute the rows and flip signs by a seed that the arbiter does not know, and add up their encrypted
logits in packed slots. The arbiter applies the sigmoid. It cannot tell which row a logit belongs to: it sees an unordered multiset
of magnitudes. The guest undoes order and signs under encryption and subtracts the labels. The optimiser is L-BFGS with Bohning's
bound as preconditioner. There is no line search along encrypted directions: its values would let the arbiter link rows across
rounds. Steps 1 to 6 depend on the engine: on ciphertexts here, on dealt shares in
:mod:`tombolo.fl_tasks.protocols.logistic_arbiter.dealer`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tombolo.fl_tasks.crypto.ahead import Ahead
from tombolo.fl_tasks.crypto.fixedpoint import check_headroom, decode, encode
from tombolo.fl_tasks.crypto.packing import check_slots, pack, slots_per_ciphertext, unpack
from tombolo.fl_tasks.crypto.vector import CipherVector, decrypt, encrypt
from tombolo.fl_tasks.learning.parameters import Regression
from tombolo.fl_tasks.learning.rounding import shown
from tombolo.fl_tasks.learning.vertical.key_holder import (
    RESIDUAL_BITS,
    MaskedGradient,
    gradient_messages,
    most_columns,
    own_key,
    peer_key,
    public_key_message,
    serve_gradients,
    vector,
)
from tombolo.fl_tasks.learning.vertical.messages import CONVERGED, LOSS, TRAINING_ROWS
from tombolo.fl_tasks.learning.vertical.rows import MOST_ROWS, Floats, VerticalRows, guard_batch, guard_label, penalties, solver
from tombolo.fl_tasks.learning.vertical.shares import total, zero_sum
from tombolo.fl_tasks.protocols.logistic_arbiter.quasi_newton import Guide, Path
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.programs import Programs
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import blame
from tombolo.storage.meters import PROGRESS, ROWS
from tombolo.storage.roles import ARBITER, DATA, GUEST, HOST
from tombolo.storage.schema import FEW, Disclosed, Message, MessageSet, Pad64, Paillier

SLOT_BITS = 48
MAX_LOGIT = 2.0**10
"""The part of a party of a logit is clipped to this magnitude. The sigmoid is almost exactly 0 or 1 long before."""
ENCRYPTED = (
    public_key_message(ARBITER, DATA),
    Message(
        "partial_logits",
        HOST,
        DATA,
        {"c": Paillier(ARBITER)},
        learns="nothing: ciphertexts under the arbiter's key",
        step="1",
        rows=None,
    ),
    Message(
        "logits",
        GUEST,
        ARBITER,
        {"c": Paillier(ARBITER, ROWS)},
        learns="the unordered multiset of logit magnitudes (order permuted, signs flipped at random)",
        step="1",
        limit="no ids, signs or labels; in late rounds logits hardly change, so the same unnamed row may be linked by its value",
        rows=None,
    ),
    Message(
        "probabilities",
        ARBITER,
        GUEST,
        {"c": Paillier(ARBITER)},
        learns="nothing: ciphertexts under the arbiter's key",
        step="2",
        rows=None,
    ),
    Message(
        "residual",
        GUEST,
        HOST,
        {"c": Paillier(ARBITER)},
        learns="nothing: ciphertexts under the arbiter's key",
        step="3",
        rows=None,
    ),
    *gradient_messages(ARBITER, DATA),
)
"""The messages of steps 0 to 5 on ciphertexts."""
_STEP = (
    Message(
        "scalars",
        DATA,
        ARBITER,
        {"share": Pad64(PROGRESS)},
        learns="sums over the data parties: the linear and penalty parts of the loss, inner products of steps and gradients",
        step="6",
        limit="no share of a single party (zero-sum masks modulo 2^128); 100 sums per round at most, nothing per row",
        rows=FEW,
    ),
    CONVERGED,
    Message(
        "step",
        ARBITER,
        DATA,
        {
            "better": Disclosed("bool", "whether the loss fell", "one bit per round", PROGRESS),
            "keep": Disclosed("bool", "whether to remember the step", "one bit per round", PROGRESS),
            "stop": Disclosed("bool", "when to stop", "one bit per round", PROGRESS),
        },
        learns="whether the loss fell, whether to remember the step, and whether to stop",
        step="7",
        limit="three bits per round",
    ),
    Message(
        "direction",
        ARBITER,
        DATA,
        {
            "coefficient": Disclosed(
                "float64", "where to go next", "two numbers per remembered step and one more, 41 at most", PROGRESS
            )
        },
        learns="how to combine the recipient's own earlier steps and gradients into the next step",
        step="7",
        limit="at most 41 numbers, the same for all parties and columns; they are functions of the sums above",
        rows=FEW,
    ),
    LOSS,
)


def with_engine(protocol: str, *engine: Message | MessageSet) -> MessageSet:
    """The messages of the protocol with those of one engine."""
    return MessageSet(protocol, TRAINING_ROWS, *engine, *_STEP)


MESSAGES = with_engine("logistic-arbiter", *ENCRYPTED)


class Party(Protocol):
    """The side of a data party in an engine. It is made with the rows of the party, and at the guest with the labels."""

    def gradient(self, w: Floats) -> Floats:
        """Steps 1 to 6: X^T (sigmoid(u) - y) for the columns of this party, shape (columns,), at its weights ``w``."""


class Helper(Protocol):
    """The side of the arbiter in an engine."""

    def logits(self) -> Floats:
        """Step 1: the permuted and signed logits of this round, shape (rows,)."""

    def answer(self, odd: Floats) -> None:
        """Steps 2 to 5: return ``odd``, sigmoid - 1/2 of each logit, and help with the gradients."""


def disguise(session: Session, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The permutation and the signs of this round, the same at all data parties."""
    return session.common().stream("order").permutation(rows), session.common().stream("signs").signs(rows).astype(np.int64)


def places(order: np.ndarray) -> np.ndarray:
    """The position of each aligned row in a permuted order."""
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return place


class EncryptedParty:
    """A data party on ciphertexts under the arbiter's key."""

    def __init__(self, session: Session, data: VerticalRows, label: Floats | None) -> None:
        assert session.arbiter is not None
        self._session, self._data, self._label, self._arbiter = session, data, label, session.arbiter
        self._key = peer_key(session, session.arbiter)
        self._ready = Ahead(self._key, session.pool)
        check_slots(SLOT_BITS, MAX_LOGIT * 2.0**RESIDUAL_BITS, len(session.data_parties))

    def gradient(self, w: Floats) -> Floats:
        """Steps 1 to 6 on ciphertexts: X^T (sigmoid(u) - y) for the columns of this party."""
        self._send_logits(w)
        masked = MaskedGradient(self._session, self._key, self._arbiter, self._data.x.shape[1])
        residual = self._residual()
        masked.send(self._data, residual)
        return masked.receive()

    def _send_logits(self, w: Floats) -> None:
        """Step 1: permute and sign the logits of this party, pack them, and add them to the sum that goes from party to party."""
        session, key, data = self._session, self._key, self._data
        chain, me = session.data_parties, session.data_parties.index(session.me)
        order, signs = disguise(session, data.rows)
        logits = np.clip(data.rounded @ w, -MAX_LOGIT, MAX_LOGIT)
        plain = encode(logits, RESIDUAL_BITS)[order] * signs
        packed = encrypt(key, pack(plain, SLOT_BITS, key), session.pool)
        if me > 0:
            packed = packed + vector(session, "partial_logits", "c", key, len(packed), chain[me - 1])
        if session.me == session.guest:
            session.send("logits", c=packed.to_arrow())
            self._ready.prepare(data.rows)
        else:
            session.send("partial_logits", chain[me + 1], c=packed.to_arrow())

    def _residual(self) -> CipherVector:
        """Step 3: [[sigmoid(u) - y]] in aligned order. The guest makes it, the hosts receive it."""
        session, key, rows = self._session, self._key, self._data.rows
        if self._label is None:
            return vector(session, "residual", "c", key, rows, session.guest)
        oracle = vector(session, "probabilities", "c", key, rows, self._arbiter)
        order, signs = disguise(session, rows)
        odd = oracle.times(signs).take(places(order))  # sigmoid(u) - 1/2 is odd in u: the sign of u becomes its sign
        residual = odd.add_plain(encode(0.5 - self._label, RESIDUAL_BITS)) + self._ready.take(rows)
        session.send("residual", c=residual.to_arrow())
        return residual


class EncryptedHelper:
    """The arbiter on ciphertexts: it holds the key."""

    def __init__(self, session: Session, rows: int) -> None:
        self._session, self._rows, self._key = session, rows, own_key(session)
        public = self._key.public
        session.send("public_key", key=public.to_bytes())
        check_headroom(public, scale_bits=RESIDUAL_BITS, bound=MAX_LOGIT)
        self._pool = session.holder_pool(self._key)
        self._ready = Ahead(public, session.pool)
        self._ready.prepare(rows)

    def logits(self) -> Floats:
        """Step 1: decrypt the packed logits of the round."""
        session, public = self._session, self._key.public
        packed_rows = -(-self._rows // slots_per_ciphertext(public, SLOT_BITS))
        packed = decrypt(self._key, vector(session, "logits", "c", public, packed_rows, session.guest), self._pool)
        return decode(np.array(unpack(packed, SLOT_BITS, self._rows, public)), RESIDUAL_BITS)

    def answer(self, odd: Floats) -> None:
        """Steps 2 to 5: send ``odd`` encrypted to the guest, and decrypt the masked gradients."""
        plain = encode(odd, RESIDUAL_BITS)
        self._session.send("probabilities", c=self._ready.encrypt(plain).to_arrow())
        if self._session.another_round:
            self._ready.prepare(self._rows)  # for the next round, while the data parties compute
        serve_gradients(self._session, self._key, most_columns(self._session, self._rows))


@dataclass(frozen=True)
class Oracle:
    """The role programs on one engine."""

    party: Callable[[Session, VerticalRows, Floats | None], Party] = EncryptedParty
    helper: Callable[[Session, int], Helper] = EncryptedHelper

    def programs(self, messages: MessageSet) -> Programs[VerticalRows]:
        """The role programs together with their messages."""
        return Programs(messages, {GUEST: self.guest, HOST: self.host}, {ARBITER: self.arbiter})

    def guest(self, session: Session, data: VerticalRows) -> State:
        """The side of the guest. Returns its last state, with ``w`` (intercept first) and the ``loss`` list."""
        label = guard_label(session, data, binary=True)
        return self._data_party(session, data.with_intercept(), label)

    def host(self, session: Session, data: VerticalRows) -> State:
        """The side of a host. Returns its last state, with ``w``."""
        return self._data_party(session, data, None)

    def _data_party(self, session: Session, data: VerticalRows, label: Floats | None) -> State:
        guard_batch(session, data, data.rows)
        assert session.arbiter is not None
        if label is not None:
            session.send("training_rows", rows=data.rows)
        party = self.party(session, data, label)
        columns, parties = data.x.shape[1], session.data_parties
        penalty = penalties(session, columns)
        bound = solver(data.curvature(len(parties) / 4, penalty))
        state = session.latest or {**Path.start(columns).state(), "loss": []}
        for number in session.rounds():
            path = Path.of(state)
            ahead = path.ahead
            sums = party.gradient(ahead) / data.rows
            gradient = sums + penalty * ahead
            start = state.get("start", sums)  # at w = 0 this is X^T (1/2 - y) / n, the linear part of every later loss
            path = path.seen(gradient, first=number == 1)
            loss_part = float(start @ ahead + penalty @ ahead**2 / 2)
            scalars = [loss_part, *path.products(gradient, bound)]
            session.send("scalars", share=zero_sum(session, parties, scalars, "step"))
            session.send("converged", yes=bool(np.abs(gradient).max(initial=0) <= session.parameters(Regression).tolerance))
            step = session.receive("step", session.arbiter)
            better, keep = session.scalar(step, "better"), session.scalar(step, "keep")
            table = session.receive("direction", session.arbiter)
            coefficients = session.values(table, "coefficient").to_numpy(zero_copy_only=False)
            with blame(session.arbiter):
                path = path.moved(gradient, bound, better, keep, coefficients)
            loss = [*state["loss"]]
            if label is not None:
                loss.append(session.scalar(session.receive("loss", session.arbiter), "loss"))
            state = session.checkpoint({**path.state(), "start": start, "loss": loss, "stopped": session.scalar(step, "stop")})
            session.report(round=number, **({"loss": loss[-1]} if loss else {}))
        return state

    def arbiter(self, session: Session) -> State:
        """The side of the arbiter: sigmoids, help with gradients, sums over the parties, and the decision to stop."""
        rows = int(session.scalar(session.receive("training_rows", session.guest), "rows", 1, MOST_ROWS))
        helper = self.helper(session, rows)
        state: State = session.latest or {**Guide().state(), "loss": []}
        for number in session.rounds():
            logits = helper.logits()
            helper.answer(np.tanh(logits / 2) / 2)
            guide = Guide.of(state)
            loss_part, *products = total(session.receive_all("scalars"), 1 + guide.products)
            votes = [session.scalar(table, "yes") for table in session.receive_all("converged").values()]
            size = np.abs(logits)
            # sum log(1 + e^u) - y u = sum |u|/2 + log(1 + e^-|u|) + (1/2 - y) u
            loss = float((size / 2 + np.log1p(np.exp(-size))).mean() + loss_part)
            losses = [*state["loss"], loss]
            before = guide.best
            guide.learn(loss, products)
            flat = before is not None and guide.better and before - loss < 1e-8 * max(abs(loss), 1e-12)
            stop = all(votes) or flat
            session.send("step", better=guide.better, keep=guide.keep, stop=stop)
            session.send("direction", coefficient=guide.coefficients())
            session.send("loss", loss=shown(loss))
            state = session.checkpoint({**guide.state(), "loss": losses, "stopped": stop})
            session.report(round=number, loss=loss)
        return state


PROGRAMS = Oracle().programs(MESSAGES)
