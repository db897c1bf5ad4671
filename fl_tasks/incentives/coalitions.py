"""Valuing coalitions of data parties without showing anybody another party's scores.

For every coalition the data parties send the arbiter additive shares, modulo 2^64, of its score of each held-out row and of the
row's label. Both are in an order that is drawn anew for each coalition, by a seed that the arbiter does not know. The arbiter adds
the shares, measures, and tells everybody the values. (White paper, chapter 4; masks as in
:mod:`tombolo.fl_tasks.learning.vertical.scoring`.)

Leakage. Besides the values the arbiter learns, per coalition, which scores come with which labels, nameless and in no order. Where
the metric does not notice, scores are scaled and shifted by numbers that the arbiter does not know (AUC, KS and R2: both; accuracy:
scaled; RMSE: shifted). Sums of scores are the same in every row (those of {g, a} and {g, b} less those of {g} and {g, a, b}), so
that with two hosts or more an arbiter could search for rows that belong together, and learn of a nameless row how the hosts' scores
differ from their means; the unknown scales stand against that for AUC, KS, accuracy and R2, nothing does for log-loss and RMSE.
Models that are trained anew have no such sums. Without an arbiter, hosts that have waived it show their scores to the guest.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.incentives import volume
from tombolo.fl_tasks.incentives.game import Game
from tombolo.fl_tasks.incentives.live import LIVE
from tombolo.fl_tasks.incentives.shapley import Coalition
from tombolo.fl_tasks.incentives.state import VALUE
from tombolo.fl_tasks.learning.metrics import measure
from tombolo.fl_tasks.learning.vertical.scoring import (
    SCORE_LIMIT,
    ScoreOutOfRange,
    WrongScoreCount,
    column,
    masked,
    unmasked,
)
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import CodedError
from tombolo.storage.roles import ARBITER, DATA, EVERYONE, GUEST, HOST
from tombolo.storage.schema import Disclosed, Message, MessageSet, Pad64, Public

Floats = npt.NDArray[np.float64]
ScoresOf = Callable[[Coalition], Floats]
_SCALED, _SHIFTED = ("auc", "ks", "accuracy", "r2"), ("auc", "ks", "r2", "rmse")
_WIDEST_SHIFT = 2.0**20
_TOLERANCE = 0.01
_MOST_COLUMNS = 1 << 32

MESSAGES = MessageSet(
    "incentives",
    Message(
        "volume",
        DATA,
        EVERYONE,
        {"columns": Disclosed("int64", "a share of the data, which is a contribution", "one count per run")},
        learns="how many encoded columns the sender trained with",
        step="0",
        limit="one count; sent only where the terms pay for contributions",
    ),
    Message(
        "coalition_shares",
        DATA,
        ARBITER,
        {"score": Pad64(), "label": Pad64()},
        learns=(
            "once all shares are added, per coalition: held-out scores with their labels, nameless, in an order drawn anew; "
            "each share alone is uniform"
        ),
        step="1",
        limit=(
            "scores scaled by an unknown number for auc, ks, accuracy and r2, shifted for auc, ks, r2 and rmse, labels alike for "
            "r2 and rmse; "
            "with two or more hosts and absent: mean, rows of different coalitions could be linked by value "
            "(for logloss and rmse at once, else by guessing the scales)"
        ),
    ),
    Message(
        "host_scores",
        HOST,
        GUEST,
        {
            "score": Disclosed(
                "float64", "the guest values coalitions where there is no arbiter", "waived in the terms; once per run"
            )
        },
        learns="the host's partial score of each held-out row, after its mean over training rows",
        step="1",
        limit="only without an arbiter, under the waiver disclose-coalition-scores-to-guest",
    ),
    Message(
        "coalition_values",
        (GUEST, ARBITER),
        EVERYONE,
        {
            "coalition": Public("int64", "which coalition: bit k stands for data party k"),
            "value": Disclosed("float64", "what each party contributed", "one aggregate per coalition and run"),
        },
        learns="each coalition's quality on the held-out rows",
        step="2",
        limit="aggregates over all held-out rows",
    ),
    *volume.MESSAGES.values(),
    LIVE,
)


class ForeignValues(CodedError):
    code = "TMB-REWARD-001"
    cause = "The coalition values are not those asked for, not finite, or out of the metric's range; nothing is paid by them."
    remedy = "All parties must run the same version; ask the evaluating party, and clear the settle task at all parties."


class OtherQuality(CodedError):
    code = "TMB-REWARD-002"
    cause = "All parties' coalition is not worth what the guest measured when the model was evaluated."
    remedy = "A party gave other scores or labels now than then; compare versions and whether tables or models were restored."


class BadVolume(CodedError):
    code = "TMB-REWARD-003"
    cause = "A party says that it trained with no column, or with absurdly many."
    remedy = "All parties must run the same version; ask that party."


def share_volume(session: Session, columns: int | None) -> dict[str, int]:
    """Every data party's number of encoded columns, in the agreement's order; ``columns`` is
    this one's (None where it has no table)."""
    if columns is not None:
        session.send("volume", columns=columns)
    heard = {party: int(session.scalar(table, "columns")) for party, table in session.receive_all("volume").items()}
    if columns is not None:
        heard[session.me] = columns
    for party, count in heard.items():
        if not 0 < count < _MOST_COLUMNS:
            raise BadVolume(party=party)
    return {party: heard[party] for party in session.roles if party in heard}


def value_coalitions(
    session: Session, game: Game, rows: int, told: float, scores_of: ScoresOf | None, labels: Floats | None
) -> list[float]:
    """The values of ``game.asked`` at every party, the same everywhere and in every replay.

    ``rows`` held-out rows were evaluated, and all parties' coalition was then measured at ``told``. ``scores_of`` gives this
    party's addend, shape (rows,), of a coalition's scores (None where it has no table); ``labels``, shape (rows,), are known to
    the guest. Raises :class:`ForeignValues`, :class:`OtherQuality` or what scoring raises.
    """
    if session.role not in (*DATA, ARBITER):
        return _heard(session, game, session.arbiter or session.guest, told)
    if session.arbiter is not None:
        if scores_of is not None:
            _send_shares(session, game, scores_of, labels)
            return _heard(session, game, session.arbiter, told)
        values = _measured_shares(session, game, rows)
    elif labels is None:
        assert scores_of is not None
        scores = np.concatenate([scores_of(frozenset({game.guest}))[:1], scores_of(frozenset(game.players))])
        session.send("host_scores", score=_checked(session, scores))
        return _heard(session, game, session.guest, told)
    else:
        assert scores_of is not None
        values = _measured_at_guest(session, game, rows, scores_of, labels)
    session.enter(0)
    session.send("coalition_values", coalition=[game.mask(coalition) for coalition in game.asked], value=values)
    return _accepted(game, values, session.me, told)


# -- with an arbiter --------------------------------------------------------------------------------------------------------


def _send_shares(session: Session, game: Game, scores_of: ScoresOf, labels: Floats | None) -> None:
    for number, coalition in enumerate(game.asked, start=1):
        session.enter(number)
        own = _checked(session, scores_of(coalition))
        order = session.common().stream("order").permutation(len(own))
        scale, shift = _disguise(session, game.metric)
        score, label = scale * own, np.zeros(len(own))
        if labels is not None:
            score = score + shift
            label = scale * labels + shift if game.metric in ("r2", "rmse") else labels
        shares = {
            name: masked(session, session.data_parties, values[order], name)
            for name, values in (("score", score), ("label", label))
        }
        session.send("coalition_shares", **shares)
    session.enter(0)


def _disguise(session: Session, metric: str) -> tuple[float, float]:
    """This coalition's scale, from 1/2 to 1, and shift, where the metric does not notice."""
    first, second = (session.common().stream("disguise").uint64(2) / 2.0**64).tolist()
    return 0.5 + first / 2 if metric in _SCALED else 1.0, (second - 0.5) * _WIDEST_SHIFT if metric in _SHIFTED else 0.0


def _measured_shares(session: Session, game: Game, rows: int) -> list[float]:
    """The arbiter's side; a value that was computed is kept."""
    values = []
    for number in range(1, len(game.asked) + 1):
        value = session.state.get(VALUE.of(number))
        if value is None:
            session.enter(number)
            tables = session.receive_all("coalition_shares")
            sums = {}
            for name in ("score", "label"):
                shares = {party: Session.values(table, name).to_numpy(zero_copy_only=False) for party, table in tables.items()}
                for party, share in shares.items():
                    if len(share) != rows:
                        raise WrongScoreCount(f"{len(share)} scores for {rows} rows.", party=party)
                sums[name] = unmasked(shares.values())
            measured = measure(session.terms.task.outcome, sums["label"], sums["score"])[game.metric]
            value = session.state.keep(VALUE.of(number), measured)
        values.append(value)
    return values


# -- without ----------------------------------------------------------------------------------------------------------------


def _measured_at_guest(session: Session, game: Game, rows: int, scores_of: ScoresOf, labels: Floats) -> list[float]:
    """The guest's side, where the hosts have waived that it sees their scores."""
    heard = {host: _checked(session, column(session, "host_scores", "score", host, rows + 1), host) for host in session.hosts}
    outcome, values = session.terms.task.outcome, []
    for coalition in game.asked:
        scores = scores_of(coalition)
        if coalition:
            scores = scores + sum(score[1:] if host in coalition else score[0] for host, score in heard.items())
        values.append(measure(outcome, labels, scores)[game.metric])
    return values


# -- for everybody ----------------------------------------------------------------------------------------------------------


def _checked(session: Session, scores: Floats, party: str | None = None) -> Floats:
    if not np.max(np.abs(scores), initial=0) <= SCORE_LIMIT:
        raise ScoreOutOfRange(party=party or session.me)
    return scores


def _heard(session: Session, game: Game, evaluator: str, told: float) -> list[float]:
    table = session.receive("coalition_values", evaluator)
    asked = Session.values(table, "coalition").to_pylist()
    if asked != [game.mask(coalition) for coalition in game.asked]:
        raise ForeignValues("Of other coalitions.", party=evaluator)
    return _accepted(game, Session.values(table, "value").to_pylist(), evaluator, told)


def _accepted(game: Game, values: list[float], evaluator: str, told: float) -> list[float]:
    if not game.plausible(values):
        raise ForeignValues(party=evaluator)
    if abs(values[-1] - told) > _TOLERANCE * max(1.0, abs(told)):
        raise OtherQuality(f"{game.metric} is {values[-1]:.4f} now and was {told:.4f} then.", party=evaluator)
    return values
