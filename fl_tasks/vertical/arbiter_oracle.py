"""Vertical logistic regression with the arbiter as a blind sigmoid: exact loss, and no per-row logit at any data party.

Each round the data parties permute the rows and flip signs by a seed that the arbiter does not know, add up their encrypted
logits in packed slots, and let the arbiter apply the sigmoid to what it cannot attribute: it sees an unordered multiset of
magnitudes. The guest undoes order and signs under encryption and subtracts the labels. Optimiser: L-BFGS with Bohning's bound
as preconditioner. There is no line search along encrypted directions: its values would let the arbiter link rows across rounds.
"""

from __future__ import annotations

import numpy as np

from fl_tasks.checkpoints import State
from fl_tasks.crypto.fixedpoint import check_headroom, decode, encode
from fl_tasks.crypto.packing import check_slots, pack, slots_per_ciphertext, unpack
from fl_tasks.crypto.paillier import PublicKey
from fl_tasks.crypto.vector import CipherVector, decrypt, encrypt
from fl_tasks.session import Session
from fl_tasks.vertical.block import Block, Floats, guard_batch, guard_label, penalties, solver
from fl_tasks.vertical.key_holder import (
    RESIDUAL_BITS,
    MaskedGradient,
    gradient_messages,
    own_key,
    peer_key,
    public_key_message,
    serve_gradients,
    vector,
)
from fl_tasks.vertical.quasi_newton import Guide, Path
from fl_tasks.vertical.shares import total, zero_sum
from storage.roles import ARBITER, DATA, GUEST, HOST
from storage.schema import Contract, Disclosed, Message, Pad64, Paillier, Public

SLOT_BITS = 64
_MAX_LOGIT = 2.0**20
_TO_HOLDER, _BACK = gradient_messages(ARBITER, DATA)

CONTRACT = Contract(
    "logistic-arbiter",
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
        "partial_logits",
        HOST,
        DATA,
        {"c": Paillier(ARBITER)},
        learns="nothing: ciphertexts under the arbiter's key",
        step="1",
    ),
    Message(
        "logits",
        GUEST,
        ARBITER,
        {"c": Paillier(ARBITER)},
        learns="the unordered multiset of logit magnitudes (order permuted, signs flipped at random)",
        step="1",
        limit="no ids, signs or labels; in late rounds, when logits hardly move, nameless rows may be linked by value",
    ),
    Message(
        "probabilities",
        ARBITER,
        GUEST,
        {"c": Paillier(ARBITER)},
        learns="nothing: ciphertexts under the arbiter's key",
        step="2",
    ),
    Message(
        "residual",
        GUEST,
        HOST,
        {"c": Paillier(ARBITER)},
        learns="nothing: ciphertexts under the arbiter's key",
        step="3",
    ),
    _TO_HOLDER,
    _BACK,
    Message(
        "scalars",
        DATA,
        ARBITER,
        {"share": Pad64()},
        learns="sums over the data parties: the linear and penalty parts of the loss, inner products of steps and gradients",
        step="6",
        limit="no party's own share (zero-sum masks modulo 2^128); 100 sums per round at most, nothing per row",
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
            "better": Disclosed("bool", "whether the loss fell", "one bit per round"),
            "keep": Disclosed("bool", "whether to remember the step", "one bit per round"),
            "stop": Disclosed("bool", "when to stop", "one bit per round"),
        },
        learns="whether the loss fell, whether to remember the step, and whether to stop",
        step="7",
        limit="three bits per round",
    ),
    Message(
        "direction",
        ARBITER,
        DATA,
        {"coefficient": Disclosed("float64", "where to go next", "two numbers per remembered step and one more, 41 at most")},
        learns="how to combine its own earlier steps and gradients into the next step",
        step="7",
        limit="the same 41 numbers at most for all parties and columns, functions of the sums above",
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


def guest(session: Session, block: Block) -> State:
    """The label holder's side; returns the last state with ``w`` (intercept first) and the ``loss`` list."""
    label = guard_label(session, block, binary=True)
    return _data_party(session, block.with_intercept(), label)


def host(session: Session, block: Block) -> State:
    """A host's side; returns the last state with ``w``."""
    return _data_party(session, block, None)


def _data_party(session: Session, block: Block, label: Floats | None) -> State:
    guard_batch(session, block, block.rows)
    assert session.arbiter is not None
    if label is not None:
        session.send("training_rows", rows=block.rows)
    key = peer_key(session, session.arbiter)
    columns, parties = block.x.shape[1], session.data_parties
    penalty = penalties(session, columns)
    bound = solver(block.curvature(len(parties) / 4, penalty))
    state = session.latest or {**Path.start(columns).state(), "loss": []}
    for number in session.rounds(int(session.params["rounds"])):
        path = Path.of(state)
        ahead = path.ahead
        _send_logits(session, block, key, ahead)
        residual = _residual(session, key, block.rows, label)
        masked = MaskedGradient(session, key, session.arbiter)
        masked.send(block, residual)
        sums = masked.receive() / block.rows
        gradient = sums + penalty * ahead
        start = state.get("start", sums)  # at w = 0: X^T (1/2 - y) / n, which makes the linear part of every later loss
        path = path.seen(gradient, first=number == 1)
        loss_part = float(start @ ahead + penalty @ ahead**2 / 2)
        scalars = [loss_part, *path.products(gradient, bound)]
        session.send("scalars", share=zero_sum(session, parties, scalars, "step"))
        session.send("converged", yes=bool(np.abs(gradient).max(initial=0) <= session.params["tolerance"]))
        step = session.receive("step", session.arbiter)
        better, keep = session.scalar(step, "better"), session.scalar(step, "keep")
        table = session.receive("direction", session.arbiter)
        coefficients = session.values(table, "coefficient").to_numpy(zero_copy_only=False)
        path = path.moved(gradient, bound, better, keep, coefficients)
        loss = [*state["loss"]]
        if label is not None:
            loss.append(session.scalar(session.receive("loss", session.arbiter), "loss"))
        state = session.checkpoint({**path.state(), "start": start, "loss": loss, "stopped": session.scalar(step, "stop")})
        session.report(round=number, **({"loss": loss[-1]} if loss else {}))
    return state


def _send_logits(session: Session, block: Block, key: PublicKey, w: Floats) -> None:
    """Step 1: this party's logits, permuted and signed alike at all data parties, added to the chain in packed slots."""
    chain, me = session.data_parties, session.data_parties.index(session.me)
    check_slots(SLOT_BITS, _MAX_LOGIT * 2.0**RESIDUAL_BITS, len(chain))
    order, signs = _disguise(session, block.rows)
    logits = np.clip(block.rounded @ w, -_MAX_LOGIT, _MAX_LOGIT)
    plain = encode(logits, RESIDUAL_BITS)[order] * signs
    packed = encrypt(key, pack(plain, SLOT_BITS, key), session.pool)
    if me > 0:
        table = session.receive("partial_logits", chain[me - 1])
        packed = packed + vector(session, table, "c", key, len(packed), chain[me - 1])
    if session.me == session.guest:
        session.send("logits", c=packed.to_arrow())
    else:
        session.send("partial_logits", chain[me + 1], c=packed.to_arrow())


def _residual(session: Session, key: PublicKey, rows: int, label: Floats | None) -> CipherVector:
    """Step 3: [[sigmoid(u) - y]] in aligned order; made by the guest, received by hosts."""
    if label is None:
        return vector(session, session.receive("residual", session.guest), "c", key, rows, session.guest)
    assert session.arbiter is not None
    oracle = vector(session, session.receive("probabilities", session.arbiter), "c", key, rows, session.arbiter)
    order, signs = _disguise(session, rows)
    place = np.empty(rows, dtype=np.int64)
    place[order] = np.arange(rows)
    odd = oracle.times(signs).take(place)  # sigmoid(u) - 1/2 is odd in u, so that the sign comes out again
    residual = odd.add_plain(encode(0.5 - label, RESIDUAL_BITS)).rerandomise(session.pool)
    session.send("residual", c=residual.to_arrow())
    return residual


def _disguise(session: Session, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The round's permutation and signs, common to all data parties."""
    return session.common().stream("order").permutation(rows), session.common().stream("signs").signs(rows).astype(np.int64)


def arbiter(session: Session) -> State:
    """Sigmoids of nameless logits, masked gradients, two sums per round, and when to stop."""
    key = own_key(session)
    public = key.public
    session.send("public_key", key=public.to_bytes())
    rows = int(session.scalar(session.receive("training_rows", session.guest), "rows"))
    check_headroom(public, scale_bits=RESIDUAL_BITS, bound=_MAX_LOGIT)
    packed_rows = -(-rows // slots_per_ciphertext(public, SLOT_BITS))
    state: State = session.latest or {**Guide().state(), "loss": []}
    pool = session.holder_pool(key)
    for number in session.rounds(int(session.params["rounds"])):
        table = session.receive("logits", session.guest)
        packed = decrypt(key, vector(session, table, "c", public, packed_rows, session.guest), pool)
        logits = decode(np.array(unpack(packed, SLOT_BITS, rows, public)), RESIDUAL_BITS)
        odd = encode(np.tanh(logits / 2) / 2, RESIDUAL_BITS)
        session.send("probabilities", c=encrypt(public, odd, session.pool).to_arrow())
        serve_gradients(session, key)
        shares = session.receive_all("scalars").values()
        guide = Guide.of(state)
        loss_part, *products = total((session.values(one, "share") for one in shares), 1 + guide.products)
        votes = [session.scalar(one, "yes") for one in session.receive_all("converged").values()]
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
        session.send("loss", loss=loss)
        state = session.checkpoint({**guide.state(), "loss": losses, "stopped": stop})
        session.report(round=number, loss=loss)
    return state
