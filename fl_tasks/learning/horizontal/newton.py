"""Linear and logistic regression over clients' rows by Newton's method: gradients and Hessians are secure sums.

The model is the one that all survivors' rows would give in one place: mean loss + l2/2 |w|^2, no penalty on the intercept, columns
standardised over all clients' training rows. A client that drops out is missing from that sum on, and may come back in a later
round.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tombolo.fl_tasks.learning.horizontal.columns import LARGEST_WEIGHT, ClientRows, Floats, ForeignStatistics, Statistics, encoder
from tombolo.fl_tasks.learning.horizontal.secagg import MESSAGES as SUMS
from tombolo.fl_tasks.learning.horizontal.state import PRESENT
from tombolo.fl_tasks.learning.horizontal.statistics import aggregate_statistics, client_statistics, enough_rows
from tombolo.fl_tasks.learning.horizontal.sums import STATISTIC, Attendance, contribute_values, sum_values
from tombolo.fl_tasks.learning.links import sigmoid
from tombolo.fl_tasks.learning.parameters import Regression
from tombolo.fl_tasks.learning.rounding import shown
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.programs import Programs
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.meters import MODEL, PROGRESS
from tombolo.storage.roles import AGGREGATOR, CLIENT
from tombolo.storage.schema import Disclosed, Message, MessageSet

MESSAGES = MessageSet(
    "horizontal-regression",
    SUMS,
    STATISTIC,
    Message(
        "weights",
        AGGREGATOR,
        CLIENT,
        {"weight": Disclosed("float64", "the joint model", "one vector per round", MODEL)},
        learns="the joint model so far",
        step="6",
        limit="a function of the sums",
        rows=None,
    ),
    Message(
        "verdict",
        AGGREGATOR,
        CLIENT,
        {
            "loss": Disclosed("float64", "the regularised training loss", "one aggregate per round", PROGRESS),
            "stop": Disclosed("bool", "whether training is over", "one bit per round", PROGRESS),
        },
        learns="the joint training loss, and whether training is over",
        step="6",
        limit="one aggregate and one bit per round",
    ),
)
_SHORTER = 0.25


def client(session: Session, rows: ClientRows) -> State:
    """A client's part in the rounds of this leg; returns its last state, with the joint weights ``w``, intercept first."""
    statistics = client_statistics(session, rows)
    enough_rows(session, statistics)
    x = with_intercept(rows.encoded(encoder(session.terms, statistics)))
    y = (rows.labels - statistics.label_mean) / statistics.label_scale
    state = session.latest or {"w": np.zeros(x.shape[1]), "loss": [], "round": 0}
    for _ in session.rounds():
        contribute_values(session, addends(session.terms.task.outcome, x, y, state["w"]))
        weights = session.values(session.receive("weights", session.aggregator, x.shape[1]), "weight").to_numpy()
        verdict = session.receive("verdict", session.aggregator)
        loss, stop = session.scalar(verdict, "loss"), session.scalar(verdict, "stop")
        if len(weights) != x.shape[1] or not (np.abs(weights) <= LARGEST_WEIGHT).all():
            raise ForeignStatistics("Weights of a round.", party=session.aggregator)
        state = session.checkpoint({"w": np.array(weights), "loss": [*state["loss"], loss], "stopped": stop})
        session.report(round=session.round, loss=loss)
    return state


def aggregator(session: Session) -> State:
    """The aggregator's part in the rounds of this leg; it learns sums, and with them the joint model."""
    attendance = Attendance.of(session)
    state = session.latest
    if state is not None:
        attendance.expected = list(state["present"])
    statistics = aggregate_statistics(session, attendance)
    enough_rows(session, statistics)
    size = len(encoder(session.terms, statistics).names) + 1
    state = state or _start(size)
    for _ in session.rounds():
        attendance.expect_returned(session)
        sums = sum_values(session, 2 + size + size * (size + 1) // 2, attendance)
        moved = _moved(session, state, sums, attendance.expected)
        session.send("weights", weight=moved["ahead"])
        session.send("verdict", loss=shown(moved["loss"][-1]), stop=moved["stopped"])
        state = session.checkpoint(moved)
        session.report(round=session.round, loss=state["loss"][-1], clients=len(attendance.expected))
    if session.finished:
        session.state.keep(PRESENT, attendance.expected)
    return state


def addends(outcome: str, x: Floats, y: Floats, w: Floats) -> Floats:
    """What one client's rows add to the sums at the point ``w``: rows, loss, gradient, and the Hessian's upper triangle."""
    u = x @ w
    if outcome == "number":
        loss, residual, curvature = float(((u - y) ** 2).sum()) / 2, u - y, np.ones(len(y))
    else:
        p = sigmoid(u)
        loss, residual, curvature = float((np.logaddexp(0.0, u) - y * u).sum()), p - y, p * (1.0 - p)
    hessian = (x * curvature[:, None]).T @ x
    return np.concatenate([[len(y), loss], x.T @ residual, hessian[np.triu_indices(x.shape[1])]])


def with_intercept(x: Floats) -> Floats:
    """A column of ones before the others."""
    return np.column_stack([np.ones(len(x)), x])


def model_weights(found: Statistics, w: Floats) -> tuple[list[float], float]:
    """Weights of the encoded columns and intercept, in the label's own units."""
    own = np.asarray(w) * found.label_scale
    return [float(weight) for weight in own[1:]], float(own[0] + found.label_mean)


def _start(size: int) -> State:
    nothing = np.zeros(size)
    return {"w": nothing, "ahead": nothing, "step": nothing, "best": None, "loss": [], "present": [], "round": 0}


def _moved(session: Session, state: State, sums: Floats, present: list[str]) -> dict[str, Any]:
    """The state after a round. If the new point is not better than the last one, the next one is a shorter step from there.

    Losses are compared only between rounds of the same clients.
    """
    size, l2 = len(state["w"]), session.parameters(Regression).l2
    ridge = np.full(size, l2)
    ridge[0] = 0.0
    at, rows = state["ahead"], max(sums[0], 1.0)
    gradient = sums[2 : 2 + size] / rows + ridge * at
    hessian = np.zeros((size, size))
    hessian[np.triu_indices(size)] = sums[2 + size :] / rows
    hessian = np.triu(hessian) + np.triu(hessian, 1).T + np.diag(ridge)
    loss = float(sums[1] / rows + (ridge * at * at).sum() / 2)
    best = state["best"] if state["present"] == present else None
    better = best is None or loss <= best + 1e-12 * max(1.0, abs(best))
    w, step = (at, np.linalg.lstsq(hessian, gradient, rcond=None)[0]) if better else (state["w"], state["step"] * _SHORTER)
    stop = bool(better and np.abs(gradient).max() <= session.parameters(Regression).tolerance)
    last = stop or session.round >= session.last_round
    exact = stop or session.terms.task.outcome == "number"  # the step gives the last digits of the optimum, or the optimum itself
    ahead = w - step if exact or not last else w
    kept = {"w": w, "step": step, "ahead": ahead, "best": loss if better else best, "present": present}
    return {**kept, "loss": [*state["loss"], loss], "stopped": stop}


PROGRAMS = Programs(MESSAGES, {CLIENT: client}, {AGGREGATOR: aggregator})
