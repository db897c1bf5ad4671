"""Computes the values of coalitions of data parties. No party sees the scores of another party.

For every coalition, the data parties send the arbiter additive shares modulo 2^64 of the coalition's score of each held-out row,
and of the row's label. The row order is drawn again for each coalition, from a seed that the arbiter does not know. The arbiter
adds the shares, computes the metric, and sends the values to all parties. (White paper, chapter 4; masks as in
:mod:`tombolo.fl_tasks.learning.vertical.scoring`.)

Leakage. Besides the values, the arbiter learns for each coalition which scores have which labels, without ids and in random order.
If the metric allows it, scores are scaled and shifted by numbers that the arbiter does not know (AUC, KS and R2: both; accuracy:
scaled; RMSE: shifted). In every row, the scores of {g, a} and {g, b} have the same sum as those of {g} and {g, a, b}. With
two or more hosts, an arbiter could therefore search for rows of different coalitions that belong together. It would then learn
for a row without an id how the hosts' scores differ from their means. For AUC, KS, accuracy and R2, the unknown scales make this
hard. For log-loss and RMSE, nothing prevents it. Models that are trained again for each coalition have no such sums. Without an
arbiter, hosts that have signed a waiver send their scores to the guest.
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
from tombolo.fl_tasks.learning.rounding import digits, significant, unit
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
from tombolo.storage.meters import METRIC, ROWS, SIZE
from tombolo.storage.roles import ARBITER, DATA, EVERYONE, GUEST, HOST
from tombolo.storage.schema import Disclosed, Message, MessageSet, Pad64, Public

Floats = npt.NDArray[np.float64]
ScoresOf = Callable[[Coalition], Floats]
_SCALED, _SHIFTED = ("auc", "ks", "accuracy", "r2"), ("auc", "ks", "r2", "rmse")
_WIDEST_SHIFT = 2.0**20
_TOLERANCE = 0.01
_MOST_COLUMNS = 1 << 32
MOST_COALITIONS = 1 << 20

MESSAGES = MessageSet(
    "incentives",
    Message(
        "volume",
        DATA,
        EVERYONE,
        {"columns": Disclosed("int64", "contributions by share of the data are computed from it", "one count per run", SIZE)},
        learns="how many encoded columns the sender trained with",
        step="0",
        limit="one count; sent only if the terms pay for contributions",
    ),
    Message(
        "coalition_shares",
        DATA,
        ARBITER,
        {"score": Pad64(ROWS), "label": Pad64(ROWS)},
        learns=(
            "after adding all shares, for each coalition: held-out scores with their labels, without ids, in a new random order; "
            "each share alone is uniform"
        ),
        step="1",
        limit=(
            "scores are scaled by an unknown number for auc, ks, accuracy and r2, and shifted for auc, ks, r2 and rmse; labels are "
            "scaled and shifted like scores for r2 and rmse; "
            "with two or more hosts and absent: mean, rows of different coalitions could be linked by their values "
            "(for logloss and rmse directly, for the others by guessing the scales)"
        ),
        rows=None,
    ),
    Message(
        "host_scores",
        HOST,
        GUEST,
        {
            "score": Disclosed(
                "float64",
                "without an arbiter, the guest computes the values of coalitions",
                "by a waiver in the terms; once per run",
                ROWS,
            )
        },
        learns="the host's mean partial score over training rows, then its partial score of each held-out row",
        step="1",
        limit="only without an arbiter, under the waiver disclose-coalition-scores-to-guest",
        rows=None,
    ),
    Message(
        "coalition_values",
        (GUEST, ARBITER),
        EVERYONE,
        {
            "coalition": Public("int64", "the coalition: bit k stands for data party k"),
            "value": Disclosed("float64", "what each party contributed", "one aggregate per coalition and run", METRIC),
        },
        learns="each coalition's quality on the held-out rows",
        step="2",
        limit="aggregates over all held-out rows",
        rows=MOST_COALITIONS,
    ),
    *volume.MESSAGES.values(),
    LIVE,
)


class ForeignValues(CodedError):
    code = "TMB-REWARD-001"
    cause = (
        "The coalition values are of other coalitions, not finite, or outside the metric's range. They are not used for rewards."
    )
    remedy = "Check with the named party that all run the same version of Tombolo. Then clear the settle task at all parties."


class OtherQuality(CodedError):
    code = "TMB-REWARD-002"
    cause = "The value of the coalition of all parties differs from the metric that was measured when the model was evaluated."
    remedy = "A party sent other scores or labels than before. Compare versions, and ask whether a party restored tables or models."


class BadVolume(CodedError):
    code = "TMB-REWARD-003"
    cause = "A party reports an impossible number of columns that it trained with."
    remedy = "Check that all parties run the same version of Tombolo, and ask the named party."


def share_volume(session: Session, columns: int | None) -> dict[str, int]:
    """Exchange the numbers of encoded columns. Returns that of every data party, in the agreement's order.

    ``columns`` is this party's own number (None if it has no table). Raises :class:`BadVolume`.
    """
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
    """The values of the coalitions ``game.asked``. They are the same at every party and in every replay.

    ``rows`` is the number of held-out rows that were evaluated. ``told`` is the metric of all parties together in that evaluation.
    ``scores_of`` gives this party's addend, shape (rows,), of a coalition's scores (None if the party has no table). ``labels``,
    shape (rows,), are known to the guest. Raises :class:`ForeignValues`, :class:`OtherQuality` or what scoring raises.
    """
    if session.role not in (*DATA, ARBITER):
        return _heard(session, game, session.arbiter or session.guest, rows, told)
    if session.arbiter is not None:
        if scores_of is not None:
            _send_shares(session, game, scores_of, labels)
            return _heard(session, game, session.arbiter, rows, told)
        values = _measured_shares(session, game, rows)
    elif labels is None:
        assert scores_of is not None
        scores = np.concatenate([scores_of(frozenset({game.guest}))[:1], scores_of(frozenset(game.players))])
        session.send("host_scores", score=_checked(session, scores))
        return _heard(session, game, session.guest, rows, told)
    else:
        assert scores_of is not None
        values = _measured_at_guest(session, game, rows, scores_of, labels)
    session.enter(0)
    session.send("coalition_values", coalition=[game.mask(coalition) for coalition in game.asked], value=values)
    return _accepted(game, values, session.me, rows, told)


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
    """This coalition's scale (from 1/2 to 1) and shift of scores, as far as they do not change the metric."""
    first, second = (session.common().stream("disguise").uint64(2) / 2.0**64).tolist()
    return 0.5 + first / 2 if metric in _SCALED else 1.0, (second - 0.5) * _WIDEST_SHIFT if metric in _SHIFTED else 0.0


def _measured_shares(session: Session, game: Game, rows: int) -> list[float]:
    """The arbiter's side. Each computed value is kept, so that a retried task does not compute it again."""
    values = []
    for number in range(1, len(game.asked) + 1):
        value = session.state.get(VALUE.of(number))
        if value is None:
            session.enter(number)
            tables = session.receive_all("coalition_shares", rows)
            sums = {}
            for name in ("score", "label"):
                shares = {party: Session.values(table, name).to_numpy(zero_copy_only=False) for party, table in tables.items()}
                for party, share in shares.items():
                    if len(share) != rows:
                        raise WrongScoreCount(f"{len(share)} scores for {rows} rows.", party=party)
                sums[name] = unmasked(shares.values())
            measured = measure(session.terms.task.outcome, sums["label"], sums["score"])[game.metric]
            value = session.state.keep(VALUE.of(number), significant(measured, digits(rows)))
        values.append(value)
    return values


# -- without an arbiter ------------------------------------------------------------------------------------------------------


def _measured_at_guest(session: Session, game: Game, rows: int, scores_of: ScoresOf, labels: Floats) -> list[float]:
    """The guest's side, if the hosts have signed a waiver and sent their scores."""
    heard = {host: _checked(session, column(session, "host_scores", "score", host, rows + 1), host) for host in session.hosts}
    outcome, values = session.terms.task.outcome, []
    for coalition in game.asked:
        scores = scores_of(coalition)
        if coalition:
            scores = scores + sum(score[1:] if host in coalition else score[0] for host, score in heard.items())
        values.append(significant(measure(outcome, labels, scores)[game.metric], digits(rows)))
    return values


# -- for everybody ----------------------------------------------------------------------------------------------------------


def _checked(session: Session, scores: Floats, party: str | None = None) -> Floats:
    if not np.max(np.abs(scores), initial=0) <= SCORE_LIMIT:
        raise ScoreOutOfRange(party=party or session.me)
    return scores


def _heard(session: Session, game: Game, evaluator: str, rows: int, told: float) -> list[float]:
    table = session.receive("coalition_values", evaluator)
    asked = Session.values(table, "coalition").to_pylist()
    if asked != [game.mask(coalition) for coalition in game.asked]:
        raise ForeignValues("The values are of other coalitions.", party=evaluator)
    return _accepted(game, Session.values(table, "value").to_pylist(), evaluator, rows, told)


def _accepted(game: Game, values: list[float], evaluator: str, rows: int, told: float) -> list[float]:
    if not game.plausible(values):
        raise ForeignValues(party=evaluator)
    rounded = unit(told, digits(rows))  # both are rounded: almost equal metrics may be one unit apart
    if abs(values[-1] - told) > _TOLERANCE * max(1.0, abs(told)) + rounded:
        raise OtherQuality(f"{game.metric} is {values[-1]:.4f} now and was {told:.4f} in the evaluation.", party=evaluator)
    return values
