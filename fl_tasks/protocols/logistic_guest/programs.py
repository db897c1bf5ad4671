"""Vertical logistic regression without an arbiter: the guest holds the key and the exact residual.

Hosts compute encrypted gradients from the residual of the guest. In each round they answer with the logits of their common
direction, of which the guest sees only the sum over the hosts. The guest takes an exact one-dimensional Newton step along this
direction. The method is preconditioned conjugate gradients (Polak-Ribiere+). Each round shows the guest one direction in the span
of the columns of the hosts. The directions are counted over all runs, and stay fewer than these columns. The hosts count their
columns themselves; they do not ask the guest.
"""

from __future__ import annotations

import numpy as np

from tombolo.fl_tasks.crypto.ahead import Ahead
from tombolo.fl_tasks.crypto.convolution import Convolution
from tombolo.fl_tasks.crypto.fixedpoint import FEATURE_BITS, FEATURE_LIMIT, decode, encode
from tombolo.fl_tasks.crypto.paillier import PublicKey
from tombolo.fl_tasks.learning.parameters import Regression
from tombolo.fl_tasks.learning.vertical.key_holder import (
    RESIDUAL_BITS,
    MaskedGradient,
    WrongLength,
    gradient_messages,
    own_key,
    peer_key,
    public_key_message,
    serve_gradients,
    vector,
)
from tombolo.fl_tasks.learning.vertical.rows import (
    LONGEST_STEP,
    ROWS_PER_COLUMN,
    Floats,
    VerticalRows,
    guard_batch,
    guard_label,
    penalties,
    solver,
)
from tombolo.fl_tasks.learning.vertical.shares import total, zero_sum
from tombolo.fl_tasks.protocols.logistic_guest.state import DIRECTIONS
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.programs import Programs
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import CodedError
from tombolo.storage.meters import PROGRESS, ROWS, SIZE
from tombolo.storage.roles import DATA, GUEST, HOST
from tombolo.storage.schema import FEW, Disclosed, Message, MessageSet, Pad64, Paillier

_FEWEST_COLUMNS = 5
_FEATURE_BITS = int(FEATURE_LIMIT * 2**FEATURE_BITS).bit_length()
_TO_HOLDER, _BACK = gradient_messages(GUEST, (HOST,))

MESSAGES = MessageSet(
    "logistic-guest",
    public_key_message(GUEST, (HOST,)),
    Message(
        "columns",
        HOST,
        DATA,
        {"count": Disclosed("int64", "bounds the number of directions", "one number", SIZE)},
        learns="how many encoded columns the host has",
        step="0",
    ),
    Message(
        "residual",
        GUEST,
        HOST,
        {"c": Paillier(GUEST)},
        learns="nothing: ciphertexts under the guest's key",
        step="1",
        rows=None,
    ),
    _TO_HOLDER,
    _BACK,
    Message(
        "slopes",
        HOST,
        GUEST,
        {"share": Pad64(PROGRESS)},
        learns="sums over the hosts of two inner products of gradients",
        step="6",
        limit="with one host, these are its own products (waived in the terms)",
        rows=FEW,
    ),
    Message(
        "turn",
        GUEST,
        HOST,
        {"beta": Disclosed("float64", "share of the old direction", "one number per round", PROGRESS)},
        learns="the share of the old direction in the new one",
        step="7",
    ),
    Message(
        "direction",
        HOST,
        GUEST,
        {"v": Pad64(ROWS)},
        learns="the logits of the direction, summed over the hosts: one vector per round",
        step="8",
        limit="over all runs, fewer directions than the hosts have columns; a single host only with the waiver",
        rows=None,
    ),
    Message(
        "bends",
        HOST,
        GUEST,
        {"share": Pad64(PROGRESS)},
        learns="sums over the hosts of w.w, w.p and p.p, which the penalty needs",
        step="8",
        limit="with one host, these are its own products (waived in the terms)",
        rows=FEW,
    ),
    Message(
        "converged",
        HOST,
        GUEST,
        {"yes": Disclosed("bool", "when to stop", "one bit per round", PROGRESS)},
        learns="whether the sender's gradient is small",
        step="8",
        limit="one bit per host and round",
    ),
    Message(
        "step",
        GUEST,
        HOST,
        {
            "alpha": Disclosed("float64", "length of the step", "one number per round", PROGRESS),
            "stop": Disclosed("bool", "when to stop", "one bit per round", PROGRESS),
        },
        learns="the common step length, and when to stop",
        step="9",
        limit="two numbers per round",
    ),
)


class TooFewHostColumns(CodedError):
    code = "TMB-TRAIN-005"
    cause = "All hosts together have fewer than five columns. A few directions would show the guest their values."
    remedy = "Add columns to the tables of the hosts, or use the protocol logistic-arbiter, in a new agreement."


class DirectionsSpent(CodedError):
    code = "TMB-TRAIN-006"
    cause = "The hosts have shown the guest as many directions as they may show in all runs of this agreement."
    remedy = "Make a new agreement, with the protocol logistic-arbiter or with other columns."


def host(session: Session, data: VerticalRows) -> State:
    """The side of a host. Returns its last state, with ``w``."""
    guard_batch(session, data, data.rows)
    key = peer_key(session, session.guest)
    columns = data.x.shape[1]
    session.send("columns", count=columns)
    counts = _column_counts(session, columns, data.rows)
    offered = sum(counts.values())
    limit = _rounds_left(session, offered - 1)
    packing = _packing(key, data.rows, offered)
    ciphertexts = data.rows if packing is None else -(-data.rows // packing.rows)
    penalty = penalties(session, columns)
    preconditioner = solver(data.curvature(0.25, penalty))
    state = session.latest or {name: np.zeros(columns) for name in ("w", "p", "g", "z")}
    for number in session.rounds(limit):
        masked = MaskedGradient(session, key, session.guest, columns, packing)
        residual = vector(session, "residual", "c", key, ciphertexts, session.guest)
        masked.send(data, residual)
        g = masked.receive() / data.rows + penalty * state["w"]
        z = preconditioner @ g
        slopes = [float(g @ z), float(z @ (g - state["g"])), float(state["g"] @ state["z"])]
        session.send("slopes", share=zero_sum(session, session.hosts, slopes, "slopes"))
        beta = session.scalar(session.receive("turn", session.guest), "beta", 0, LONGEST_STEP)
        p = -z + beta * state["p"]
        _book_direction(session)
        session.send("direction", v=_masked_direction(session, encode(data.rounded @ p, RESIDUAL_BITS)))
        w = state["w"]
        bends = [float(penalty @ w**2), float(penalty @ (w * p)), float(penalty @ p**2)]
        session.send("bends", share=zero_sum(session, session.hosts, bends, "bends"))
        session.send("converged", yes=bool(np.abs(g).max(initial=0) <= session.parameters(Regression).tolerance))
        step = session.receive("step", session.guest)
        alpha, stop = session.scalar(step, "alpha", -LONGEST_STEP, LONGEST_STEP), session.scalar(step, "stop")
        state = session.checkpoint({"w": w + alpha * p, "p": p, "g": g, "z": z, "stopped": stop})
        session.report(round=number)
    return state


def guest(session: Session, data: VerticalRows) -> State:
    """The side of the guest. Returns its last state, with ``w`` (intercept first) and the ``loss`` list."""
    label = guard_label(session, data, binary=True)
    data = data.with_intercept()
    guard_batch(session, data, data.rows)
    key = own_key(session)
    session.send("public_key", key=key.public.to_bytes())
    counts = _column_counts(session, None, data.rows)
    offered = sum(counts.values())
    limit = _rounds_left(session, offered - 1)
    packing, ready = _packing(key.public, data.rows, offered), Ahead(key.public, session.pool)
    columns = data.x.shape[1]
    penalty = penalties(session, columns)
    preconditioner = solver(data.curvature(0.25, penalty))
    state = session.latest or {
        **{name: np.zeros(columns) for name in ("w", "p", "g", "z")},
        "u": np.zeros(data.rows),
        "loss": [],
    }
    for number in session.rounds(limit):
        d = _sigmoid(state["u"]) - label
        plain = encode(d, RESIDUAL_BITS)
        residual = ready.encrypt(plain if packing is None else packing.pack(plain))
        session.send("residual", c=residual.to_arrow())
        if session.another_round:
            ready.prepare(len(residual))  # for the next round, while the hosts compute
        g = data.rounded.T @ d / data.rows + penalty * state["w"]
        z = preconditioner @ g
        serve_gradients(session, key, counts, packing)
        own = [float(g @ z), float(z @ (g - state["g"])), float(state["g"] @ state["z"])]
        gz, turned, before = np.add(own, total(session.receive_all("slopes"), 3))
        beta = max(0.0, float(turned / before)) if before > 0 else 0.0
        session.send("turn", beta=beta)
        p = -z + beta * state["p"]
        _book_direction(session)
        v = data.rounded @ p + _sum_of_directions(session, data.rows)
        bends = session.receive_all("bends")
        w = state["w"]
        own = [float(penalty @ w**2), float(penalty @ (w * p)), float(penalty @ p**2)]
        ridge = np.add(own, total(bends, 3))
        alpha, loss = line_search(state["u"], v, label, ridge)
        votes = [session.scalar(table, "yes") for table in session.receive_all("converged").values()]
        small = bool(np.abs(g).max() <= session.parameters(Regression).tolerance)
        flat = bool(state["loss"]) and abs(state["loss"][-1] - loss) < 1e-8 * max(abs(loss), 1e-12)
        stop = (small and all(votes)) or flat
        session.send("step", alpha=alpha, stop=stop)
        losses = [*state["loss"], loss]
        state = session.checkpoint(
            {
                "w": w + alpha * p,
                "p": p,
                "g": g,
                "z": z,
                "u": state["u"] + alpha * v,
                "loss": losses,
                "stopped": stop,
            }
        )
        session.report(round=number, loss=loss)
    return state


def _column_counts(session: Session, own: int | None, rows: int) -> dict[str, int]:
    """How many columns each host has, as this party counts them: ``own`` (None at the guest), and what the other hosts say.

    Together they have five at least, and no host has more than its gradient may have. The guest cannot change this count.
    """
    counts = {} if own is None else {session.me: own}
    for party, table in session.receive_all("columns").items():
        counts[party] = int(session.scalar(table, "count", 1, rows // ROWS_PER_COLUMN))
    if sum(counts.values()) < _FEWEST_COLUMNS:
        raise TooFewHostColumns(f"They have {sum(counts.values())} columns.", party=session.me)
    return counts


def line_search(u: Floats, v: Floats, label: Floats, ridge: Floats) -> tuple[float, float]:
    """The step that minimises the mean log-loss of ``u + alpha v`` plus the penalty, by Newton's method, and the loss after it.

    ``ridge`` holds w.w, w.p and p.p, weighted by the penalty.
    """

    def loss(alpha: float) -> float:
        logits = u + alpha * v
        penalty = (ridge[0] + 2 * alpha * ridge[1] + alpha * alpha * ridge[2]) / 2
        return float((np.logaddexp(0, logits) - label * logits).mean() + penalty)

    alpha, best = 0.0, loss(0.0)
    for _ in range(50):
        p = _sigmoid(u + alpha * v)
        slope = float(((p - label) * v).mean() + ridge[1] + alpha * ridge[2])
        bend = float((p * (1 - p) * v * v).mean() + ridge[2])
        if bend <= 0 or abs(slope) < 1e-15:
            break
        move = -slope / bend
        while loss(alpha + move) > best + 1e-15 and abs(move) > 1e-12:
            move /= 2
        alpha, best = alpha + move, loss(alpha + move)
        if abs(move) < 1e-12:
            break
    return alpha, best


def _sigmoid(u: Floats) -> Floats:
    return 0.5 * (1 + np.tanh(u / 2))


def _packing(key: PublicKey, rows: int, columns: int) -> Convolution | None:
    """How residuals (at most 1 in magnitude) are packed; None if that does not fit or saves nothing. The same at all parties."""
    packing = Convolution(key, RESIDUAL_BITS)
    return packing if packing.fits(rows, _FEATURE_BITS) and packing.pays(rows, columns, FEATURE_BITS) else None


def _masked_direction(session: Session, plain: np.ndarray) -> np.ndarray:
    """The fixed-point logits modulo 2^64, under masks that cancel in the sum over the hosts."""
    me, masked = session.hosts.index(session.me), plain.astype(np.uint64)
    for index, other in enumerate(session.hosts):
        if index != me:
            mask = session.pair(other).stream("direction").uint64(len(plain))
            masked = masked + mask if me < index else masked - mask
    return masked


def _sum_of_directions(session: Session, rows: int) -> Floats:
    """The logits of the direction, summed over the hosts, shape (rows,)."""
    summed = np.zeros(rows, dtype=np.uint64)
    for party, table in session.receive_all("direction", rows).items():
        share = session.values(table, "v").to_numpy(zero_copy_only=False)
        if len(share) != rows:
            raise WrongLength(f"A direction has {len(share)} values; the table has {rows} rows.", party=party)
        summed = summed + share
    return decode(summed.astype(np.int64), RESIDUAL_BITS)


def _rounds_left(session: Session, budget: int) -> int:
    """How many rounds this run may have: earlier runs have used directions too. Raises :class:`DirectionsSpent` if none is left."""
    spent = sum(shown.key[0] != session.run for shown in session.state.all(DIRECTIONS))
    if spent >= budget:
        raise DirectionsSpent(f"{spent} of {budget} directions are used.", party=session.me)
    return min(session.parameters(Regression).rounds, budget - spent)


def _book_direction(session: Session) -> None:
    """Count a direction before it is sent."""
    session.state.keep(DIRECTIONS.of(session.run, session.round), "shown")


PROGRAMS = Programs(MESSAGES, {GUEST: guest, HOST: host})
