"""Networks over the rows of clients by federated averaging: in every round the clients train, and a secure sum adds their updates.

Three strategies turn updates into the joint weights: the mean weighted by rows (FedAvg, McMahan et al., AISTATS 2017, algorithm 1),
the mean of updates that are held close to the joint weights (FedProx, Li et al., MLSys 2020, algorithm 2), or Adam along the mean
(FedAdam, Reddi et al., ICLR 2021, algorithm 2). With ``task.privacy`` a round is one step along the sum of the shortened gradients
of all rows. The aggregator adds noise to this sum (DP-SGD, Abadi et al., CCS 2016, with all rows as the lot).
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
from tombolo.fl_tasks.learning.rounding import shown
from tombolo.fl_tasks.learning.terms import NetworkTerms, PrivacyTerms
from tombolo.fl_tasks.protocols.horizontal_mlp.privacy import Noise
from tombolo.fl_tasks.protocols.horizontal_mlp.state import NOISY
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.programs import Programs
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import CodedError
from tombolo.storage.meters import PROGRESS
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
        {"loss": Disclosed("float64", "the mean training loss", "one aggregate per round; none with task.privacy", PROGRESS)},
        learns="the mean training loss of the weights that the round began with",
        step="6",
        limit="one aggregate per round",
    ),
    Message(
        "end",
        AGGREGATOR,
        CLIENT,
        {"stop": Disclosed("bool", "whether training is over", "one bit per round", PROGRESS)},
        learns="whether training is over",
        step="6",
        limit="one bit per round",
    ),
)
_HEAD = 4
"""The number of sums before the weights: rows, their loss, validation rows, their loss. With privacy only the rows are summed."""


class Diverged(CodedError):
    code = "TMB-NETWORK-001"
    cause = "Training at this client diverged: its weights are no longer finite numbers."
    remedy = "Start a run with a smaller `step` or `momentum`. For columns with extreme values, agree on `clip` in a new agreement."


class ImpossibleSum(CodedError):
    code = "TMB-NETWORK-002"
    cause = (
        "The sum of the updates of the clients is impossible: it has no rows, or it is larger than the agreed norm bound allows."
    )
    remedy = "A client sent wrong values, but nobody can see which client. Ask all clients to check that they run the same version."


@dataclass(frozen=True)
class Plan:
    """How a run trains: the same at every party. It follows from the terms, the parameters and the number of encoded columns."""

    training: Training
    strategy: str
    server_rate: float
    norm_bound: float
    patience: int | None
    validation_fraction: float
    noise: Noise | None

    @classmethod
    def of(cls, session: Session, columns: int) -> Plan:
        """The plan of the terms and of the parameters of the run."""
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
        """How many sums come before the sums of the weights."""
        return _HEAD if self.noise is None else 1

    @property
    def size(self) -> int:
        """How many sums a round has."""
        return self.head + self.training.net.count

    def divided(self, sample: Sample, party: str) -> tuple[Sample, Sample]:
        """The rows for training, and the rows for early stopping; the latter are empty without a patience."""
        rows = len(sample) if self.patience is not None else 0
        apart = self.training.prf.stream("validation", party).permutation(rows)[: round(self.validation_fraction * rows)]
        kept = np.ones(len(sample), dtype=bool)
        kept[apart] = False
        return sample.part(kept), sample.part(~kept)


def client(session: Session, rows: ClientRows) -> State:
    """The part of a client in the rounds of this leg. Returns its last state, with the joint weights ``w``."""
    statistics = client_statistics(session, rows)
    enough_rows(session, statistics)
    common = encoder(session.terms, statistics)
    plan = Plan.of(session, len(common.names))
    labels = (rows.labels - statistics.label_mean) / statistics.label_scale
    sample, validation = plan.divided(Sample(rows.encoded(common), labels), session.me)
    state = session.latest or {"w": plan.training.initial(), "loss": [], "round": 0}
    for _ in session.rounds():
        orders = plan.training.orders(len(sample), session.me, session.round)
        contribute_values(session, addends(plan, state["w"], sample, validation, orders))
        weights = session.values(session.receive("weights", session.aggregator, len(state["w"])), "weight").to_numpy()
        losses = [session.scalar(session.receive("training_loss", session.aggregator), "loss")] if plan.noise is None else []
        stop = session.scalar(session.receive("end", session.aggregator), "stop")
        if len(weights) != plan.training.net.count or not (np.abs(weights) <= LARGEST_WEIGHT).all():
            raise ForeignStatistics("The weights of a round.", party=session.aggregator)
        state = session.checkpoint({"w": np.array(weights), "loss": [*state["loss"], *losses], "stopped": stop})
        session.report(round=session.round, loss=losses[0] if losses else None)
    return state


def aggregator(session: Session) -> State:
    """The part of the aggregator in the rounds of this leg. It learns sums, and from them the joint weights."""
    attendance = Attendance.of(session)
    state = session.latest
    if state is not None:
        attendance.expected = list(state["present"])
    statistics = aggregate_statistics(session, attendance)
    enough_rows(session, statistics)
    plan = Plan.of(session, len(encoder(session.terms, statistics).names))
    state = state or start(plan)
    for _ in session.rounds():
        attendance.expect_returned(session)
        sums = _noisy(session, plan, checked(plan, sum_values(session, plan.size, attendance)))
        last = session.round >= session.last_round
        after = moved(plan, state, sums, list(attendance.expected), last)
        # send before the checkpoint: a retried task starts after the checkpoint, and sends nothing of this round
        session.send("weights", weight=after["w"])
        if plan.noise is None:
            session.send("training_loss", loss=shown(after["loss"][-1]))
        session.send("end", stop=bool(after["stopped"]))
        state = session.checkpoint(after)
        loss = state["loss"][-1] if state["loss"] else None
        session.report(round=session.round, loss=loss, clients=len(attendance.expected))
    if session.finished:
        session.state.keep(PRESENT, attendance.expected)
    return state


def addends(plan: Plan, w: Floats, sample: Sample, validation: Sample, orders: Iterable[npt.NDArray[np.int64]]) -> Floats:
    """The addends of one client at the weights ``w``: the head, and its update times its rows, shortened to the agreed norm.

    With privacy: the number of rows, and the sum of their gradients, each shortened to ``clip``. Raises :class:`Diverged`.
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
    """Return the sums, if clients that keep to the agreed bound can have them. Raises :class:`ImpossibleSum`."""
    rows, bound = sums[0], plan.norm_bound if plan.noise is None else plan.noise.clip
    rounding = 1e-3 * np.sqrt(len(sums))  # far more than the rounding error of fixed point
    if rows < 0.5 or np.linalg.norm(sums[plan.head :]) > bound * rows * (1 + 1e-9) + rounding:
        raise ImpossibleSum()
    return sums


def start(plan: Plan) -> State:
    """The aggregator's state before the first round."""
    w = plan.training.initial()
    moving = {"first": np.zeros_like(w), "second": np.zeros_like(w), "moves": 0} if plan.strategy == "fedadam" else {}
    return {"w": w, "best_w": w, "best": None, "best_round": 0, "loss": [], "present": [], "round": 0, **moving}


def moved(plan: Plan, state: State, sums: Floats, present: list[str], last: bool) -> State:
    """The state after a round. With a patience, the model is that of the round with the best validation loss.

    Validation losses are compared only between rounds with the same clients.
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
    """The sums with noise. The noisy sums are kept before anything is sent, so that a retried task uses the same noise."""
    if plan.noise is None:
        return sums
    noise, tail = plan.noise, sums[plan.head :]
    return np.concatenate([sums[: plan.head], session.state.once(NOISY.of(session.round), lambda: noise.noisy(tail))])


PROGRAMS = Programs(MESSAGES, {CLIENT: client}, {AGGREGATOR: aggregator})
