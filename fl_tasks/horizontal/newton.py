"""Linear and logistic regression over clients' rows by Newton's method: gradients and Hessians are secure sums.

The model is that of all survivors' rows in one place: mean loss + l2/2 |w|^2, intercept not penalised, columns standardised over
all clients' training rows. A client that vanishes is missed from the sum on, and may come back in any later round.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fl_tasks.checkpoints import State
from fl_tasks.horizontal.columns import Floats, ForeignStatistics, Rows, Statistics, encoder
from fl_tasks.horizontal.secagg import MESSAGES, rostered
from fl_tasks.horizontal.statistics import aggregate_statistics, client_statistics
from fl_tasks.horizontal.sums import Attendance, contribute_values, sum_values
from fl_tasks.models.metrics import sigmoid
from fl_tasks.session import Session
from fl_tasks.vertical.block import BatchTooSmall
from storage.canonical import canonical
from storage.roles import AGGREGATOR, CLIENT
from storage.schema import Contract, Disclosed, Message

CONTRACT = Contract(
    "horizontal-regression",
    *MESSAGES,
    Message(
        "statistic",
        AGGREGATOR,
        CLIENT,
        {"value": Disclosed("float64", "common standardisation", "counts, means and deviations over all clients, once per run")},
        learns="how many training rows all clients have; count, mean and deviation of every column over them",
        step="5",
        limit="sums over at least three clients and the threshold",
    ),
    Message(
        "weights",
        AGGREGATOR,
        CLIENT,
        {"weight": Disclosed("float64", "the joint model", "one vector per round")},
        learns="the joint model so far",
        step="6",
        limit="a function of the sums",
    ),
    Message(
        "verdict",
        AGGREGATOR,
        CLIENT,
        {
            "loss": Disclosed("float64", "the regularised training loss", "one aggregate per round"),
            "stop": Disclosed("bool", "whether training is over", "one bit per round"),
        },
        learns="the joint training loss, and whether training is over",
        step="6",
        limit="one aggregate and one bit per round",
    ),
)
_SHORTER = 0.25


def client(session: Session, rows: Rows) -> State:
    """A client's part in the rounds of this leg; returns its last state, with the joint weights ``w``, intercept first."""
    found = client_statistics(session, rows)
    _enough_rows(session, found)
    x = with_intercept(encoder(session.terms, found).transform(rows.table))
    y = (rows.labels - found.label_mean) / found.label_scale
    state = session.latest or {"w": np.zeros(x.shape[1]), "loss": [], "round": 0}
    for _ in session.rounds(int(session.params["rounds"])):
        contribute_values(session, addends(session.terms.task.outcome, x, y, state["w"]))
        weights = session.values(session.receive("weights", session.aggregator), "weight").to_numpy()
        verdict = session.receive("verdict", session.aggregator)
        loss, stop = session.scalar(verdict, "loss"), session.scalar(verdict, "stop")
        if len(weights) != x.shape[1] or not np.isfinite([*weights, loss]).all():
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
    found = aggregate_statistics(session, attendance)
    _enough_rows(session, found)
    size = len(encoder(session.terms, found).names) + 1
    state = state or _start(size)
    for _ in session.rounds(int(session.params["rounds"])):
        _expect_returned(session, attendance)
        sums = sum_values(session, 2 + size + size * (size + 1) // 2, attendance)
        state = session.checkpoint(_moved(session, state, sums, attendance.expected))
        session.send("weights", weight=state["ahead"])
        session.send("verdict", loss=state["loss"][-1], stop=bool(state["stopped"]))
        session.report(round=session.round, loss=state["loss"][-1], clients=len(attendance.expected))
    if session.finished:
        session.run_area.keep("present", canonical(attendance.expected))
    return state


def _enough_rows(session: Session, found: Statistics) -> None:
    """Raise :class:`BatchTooSmall` for sums over too few rows in all."""
    least = max(session.terms.limits.minimum_batch, 10 * len(found.mean))
    if found.rows < least - 0.5:
        raise BatchTooSmall(f"{found.rows:.0f} rows in all; at least {least} are needed.", party=session.me)


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
    return [float(one) for one in own[1:]], float(own[0] + found.label_mean)


def _start(size: int) -> State:
    nothing = np.zeros(size)
    return {"w": nothing, "ahead": nothing, "step": nothing, "best": None, "loss": [], "present": [], "round": 0}


def _moved(session: Session, state: State, sums: Floats, present: list[str]) -> dict[str, Any]:
    """The state after a round: a point that is no better than the last is left again with a shorter step.

    Losses are compared only between rounds of the same clients.
    """
    size, l2 = len(state["w"]), float(session.params["l2"])
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
    stop = bool(better and np.abs(gradient).max() <= float(session.params["tolerance"]))
    last = stop or session.round >= session.last_round
    exact = stop or session.terms.task.outcome == "number"  # the step is the last digits of the optimum, or all of it
    ahead = w - step if exact or not last else w
    kept = {"w": w, "step": step, "ahead": ahead, "best": loss if better else best, "present": present}
    return {**kept, "loss": [*state["loss"], loss], "stopped": stop}


def _expect_returned(session: Session, attendance: Attendance) -> None:
    """Wait again for clients that were missed in the last round, and have meanwhile come to it: too late to be let in.

    Who was let in and vanished then is not waited for a second time.
    """
    if session.round > 1:
        known = {*attendance.expected, *rostered(session, session.round - 1)}
        gone = [one for one in session.clients if one not in known]
        back = [one for one in gone if session.peek("advertise", one, session.round - 1) is not None]
        attendance.expected = [one for one in session.clients if one in attendance.expected or one in back]
