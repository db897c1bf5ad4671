"""Networks over clients' rows by federated averaging: in every round clients train, and a secure sum joins their updates.

Updates become the joint weights by one of three strategies: their mean weighted with rows (FedAvg, McMahan et al., AISTATS 2017,
algorithm 1), that of updates held close to the joint weights (FedProx, Li et al., MLSys 2020, algorithm 2), or Adam along it
(FedAdam, Reddi et al., ICLR 2021, algorithm 2). With ``task.privacy`` a round is one step along the sum of all rows' shortened
gradients, to which the aggregator adds noise (DP-SGD, Abadi et al., CCS 2016, with all rows as the lot).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.learning.horizontal import newton
from tombolo.fl_tasks.learning.horizontal.columns import LARGEST_WEIGHT, ClientRows, Floats, ForeignStatistics, encoder
from tombolo.fl_tasks.learning.horizontal.secagg import MESSAGES as SUMS
from tombolo.fl_tasks.learning.horizontal.state import PRESENT
from tombolo.fl_tasks.learning.horizontal.statistics import aggregate_statistics, client_statistics, enough_rows
from tombolo.fl_tasks.learning.horizontal.sums import Attendance, contribute_values, sum_values
from tombolo.fl_tasks.learning.nets.optimisers import Adam
from tombolo.fl_tasks.learning.nets.training import Sample, Training
from tombolo.fl_tasks.learning.parameters import Averaged
from tombolo.fl_tasks.learning.terms import NetworkTerms, PrivacyTerms
from tombolo.fl_tasks.protocols.horizontal_mlp.privacy import Noise
from tombolo.fl_tasks.protocols.horizontal_mlp.state import NOISY
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.programs import Programs
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import CodedError
from tombolo.storage.roles import AGGREGATOR, CLIENT
from tombolo.storage.schema import Disclosed, Message, MessageSet

MESSAGES = MessageSet(
    "horizontal-mlp",
    SUMS,
    newton.MESSAGES["statistic"],
    newton.MESSAGES["weights"],
    Message(
        "training_loss",
        AGGREGATOR,
        CLIENT,
        {"loss": Disclosed("float64", "the mean training loss", "one aggregate per round; none with task.privacy")},
        learns="the mean training loss of the weights that the round began with",
        step="6",
        limit="one aggregate per round",
    ),
    Message(
        "end",
        AGGREGATOR,
        CLIENT,
        {"stop": Disclosed("bool", "whether training is over", "one bit per round")},
        learns="whether training is over",
        step="6",
        limit="one bit per round",
    ),
)
_HEAD = 4
"""Sums before the weights: rows, their loss, validation rows, their loss. With privacy there are rows only."""


class Diverged(CodedError):
    code = "TMB-NETWORK-001"
    cause = "Training at this client has left the finite numbers."
    remedy = "Start a run with a smaller `step` or `momentum`, or agree on `clip` for columns with extreme values."


class ImpossibleSum(CodedError):
    code = "TMB-NETWORK-002"
    cause = "The sum of the clients' updates cannot be: no row, or more than the agreed bound of a norm allows."
    remedy = "A client has sent wrong values, and nobody can tell which. All must run the same version; ask the clients."


@dataclass(frozen=True)
class Plan:
    """How a run trains: the same at every party, from the terms, the run's parameters and the number of encoded columns."""

    training: Training
    strategy: str
    server_rate: float
    norm_bound: float
    patience: int | None
    validation_fraction: float
    noise: Noise | None

    @classmethod
    def of(cls, session: Session, columns: int) -> Plan:
        """What the terms and the run's parameters say."""
        task, params = session.terms.task, session.parameters(Averaged)
        training, privacy = Training.of(task.section(NetworkTerms), params, columns), task.optional(PrivacyTerms)
        return cls(
            training=training,
            strategy=params.strategy,
            server_rate=params.server_rate,
            norm_bound=params.norm_bound,
            patience=params.patience,
            validation_fraction=params.validation_fraction,
            noise=None if privacy is None else Noise.of(privacy, params.rounds, training.net.count),
        )

    @property
    def head(self) -> int:
        """How many sums come before those of the weights."""
        return _HEAD if self.noise is None else 1

    @property
    def size(self) -> int:
        """How many sums a round takes."""
        return self.head + self.training.net.count

    def divided(self, sample: Sample, party: str) -> tuple[Sample, Sample]:
        """The rows to train on and those that say when to stop: none without a patience."""
        rows = len(sample) if self.patience is not None else 0
        apart = self.training.prf.stream("validation", party).permutation(rows)[: round(self.validation_fraction * rows)]
        kept = np.ones(len(sample), dtype=bool)
        kept[apart] = False
        return sample.part(kept), sample.part(~kept)


def client(session: Session, rows: ClientRows) -> State:
    """A client's part in the rounds of this leg; returns its last state, with the joint weights ``w``."""
    found = client_statistics(session, rows)
    enough_rows(session, found)
    made = encoder(session.terms, found)
    plan = Plan.of(session, len(made.names))
    labels = (rows.labels - found.label_mean) / found.label_scale
    sample, validation = plan.divided(Sample(rows.encoded(made), labels), session.me)
    state = session.latest or {"w": plan.training.initial(), "loss": [], "round": 0}
    for _ in session.rounds():
        orders = plan.training.orders(len(sample), session.me, session.round)
        contribute_values(session, addends(plan, state["w"], sample, validation, orders))
        weights = session.values(session.receive("weights", session.aggregator), "weight").to_numpy()
        losses = [session.scalar(session.receive("training_loss", session.aggregator), "loss")] if plan.noise is None else []
        stop = session.scalar(session.receive("end", session.aggregator), "stop")
        if len(weights) != plan.training.net.count or not (np.abs(weights) <= LARGEST_WEIGHT).all():
            raise ForeignStatistics("Weights of a round.", party=session.aggregator)
        state = session.checkpoint({"w": np.array(weights), "loss": [*state["loss"], *losses], "stopped": stop})
        session.report(round=session.round, loss=losses[0] if losses else None)
    return state


def aggregator(session: Session) -> State:
    """The aggregator's part in the rounds of this leg; it learns sums, and with them the joint weights."""
    attendance = Attendance.of(session)
    state = session.latest
    if state is not None:
        attendance.expected = list(state["present"])
    found = aggregate_statistics(session, attendance)
    enough_rows(session, found)
    plan = Plan.of(session, len(encoder(session.terms, found).names))
    state = state or start(plan)
    for _ in session.rounds():
        attendance.expect_returned(session)
        sums = _noisy(session, plan, checked(plan, sum_values(session, plan.size, attendance)))
        last = session.round >= session.last_round
        after = moved(plan, state, sums, list(attendance.expected), last)
        session.send("weights", weight=after["w"])  # before the checkpoint, after which nobody would send it again
        if plan.noise is None:
            session.send("training_loss", loss=after["loss"][-1])
        session.send("end", stop=bool(after["stopped"]))
        state = session.checkpoint(after)
        loss = state["loss"][-1] if state["loss"] else None
        session.report(round=session.round, loss=loss, clients=len(attendance.expected))
    if session.finished:
        session.state.keep(PRESENT, attendance.expected)
    return state


def addends(plan: Plan, w: Floats, sample: Sample, validation: Sample, orders: Iterable[npt.NDArray[np.int64]]) -> Floats:
    """What one client adds to the sums at the weights ``w``: the head, and its update, shortened to the agreed norm, times rows.

    With privacy: rows, and the sum of their gradients, each shortened to the agreed norm. Raises :class:`Diverged`.
    """
    training = plan.training
    if plan.noise is not None:
        return np.concatenate([[len(sample)], training.clipped_gradient(w, sample, plan.noise.clip)])
    update = training.descended(w, sample, orders) - w
    norm = float(np.linalg.norm(update))
    if not np.isfinite(norm):
        raise Diverged()
    update *= min(1.0, plan.norm_bound / max(norm, 1e-300))
    head = [len(sample), training.loss(w, sample), len(validation), training.loss(w, validation)]
    return np.concatenate([head, len(sample) * update])


def checked(plan: Plan, sums: Floats) -> Floats:
    """The sums, if they can be those of clients that keep to the agreed bound. Raises :class:`ImpossibleSum`."""
    rows, bound = sums[0], plan.norm_bound if plan.noise is None else plan.noise.clip
    rounding = 1e-3 * np.sqrt(len(sums))  # far more than fixed point makes of it
    if rows < 0.5 or np.linalg.norm(sums[plan.head :]) > bound * rows * (1 + 1e-9) + rounding:
        raise ImpossibleSum()
    return sums


def start(plan: Plan) -> State:
    """The aggregator's state before the first round."""
    w = plan.training.initial()
    moving = {"first": np.zeros_like(w), "second": np.zeros_like(w), "moves": 0} if plan.strategy == "fedadam" else {}
    return {"w": w, "best_w": w, "best": None, "best_round": 0, "loss": [], "present": [], "round": 0, **moving}


def moved(plan: Plan, state: State, sums: Floats, present: list[str], last: bool) -> State:
    """The state after a round. With a patience the model is that of the round whose validation loss was best.

    Validation losses are compared only between rounds of the same clients.
    """
    training, w, number = plan.training, state["w"], state["round"] + 1
    mean = sums[plan.head :] / sums[0]
    update = mean if plan.noise is None else -training.step * (mean + training.penalty(w))
    kept: dict[str, Any] = {}
    if plan.strategy == "fedadam":
        ahead, mover = Adam(plan.server_rate, state["first"], state["second"], int(state["moves"])).move(w, -update)
        kept = {"first": mover.first, "second": mover.second, "moves": mover.moves}
    else:
        ahead = w + update
    kept |= {"best_w": state["best_w"], "best": state["best"], "best_round": state["best_round"], "present": present}
    losses, stop = list(state["loss"]), False
    if plan.noise is None:
        losses.append(float(sums[1] / sums[0]))
    if plan.patience is not None and sums[2] > 0.5:
        loss = float(sums[3] / sums[2])
        if state["present"] != present or loss < state["best"]:
            kept |= {"best_w": w, "best": loss, "best_round": number}
        stop = number - kept["best_round"] >= plan.patience
        ahead = kept["best_w"] if stop or last else ahead
    return {**kept, "w": ahead, "loss": losses, "stopped": stop}


def _noisy(session: Session, plan: Plan, sums: Floats) -> Floats:
    """The sums with noise, drawn once and kept before anybody hears of it, so that a replay adds the same."""
    if plan.noise is None:
        return sums
    noise, tail = plan.noise, sums[plan.head :]
    return np.concatenate([sums[: plan.head], session.state.once(NOISY.of(session.round), lambda: noise.noisy(tail))])


PROGRAMS = Programs(MESSAGES, {CLIENT: client}, {AGGREGATOR: aggregator})
