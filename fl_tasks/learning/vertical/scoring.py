"""Scores of aligned rows: the recipient learns the sum of the parties' partial scores, and nothing about the addends.

A linear model's score is u = sum_k x_k w_k (+ intercept at the guest). For each recipient R the other data parties are the
senders; sender k sends round(u_k 2^32) plus pairwise masks that cancel in the sum over all senders, modulo 2^64 (PROTOCOLS a,
prediction; Bonawitz et al. 2017, without drop-outs). R adds its own part in the clear.

Leakage. With two or more senders R learns their sum per row. With **one** sender the sum is that sender's partial score: this
cannot be hidden from R by any protocol that gives R the total, so it has a message of its own, ``sole_score``, as disclosed.
From many models a recipient collects one linear function of the senders' features per model. Each needs a whole run, and the books
show these runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.crypto import fixedpoint
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import CodedError
from tombolo.storage.meters import ROWS
from tombolo.storage.roles import DATA
from tombolo.storage.schema import Disclosed, Message, MessageSet, Pad64

FRACTION_BITS = 32
SCORE_LIMIT = 2.0**24
"""Largest magnitude of one party's partial score: sums of 64 of them stay below 2^63 at 32 fractional bits."""

MESSAGES = MessageSet(
    "scoring",
    Message(
        "masked_score",
        DATA,
        DATA,
        {"share": Pad64(ROWS)},
        learns="the sum of all senders' partial scores per row, once all shares are added; each share alone is uniform",
        step="score",
        limit="rows that the agreement lets this recipient score; one vector per run",
        rows=None,
    ),
    Message(
        "sole_score",
        DATA,
        DATA,
        {
            "score": Disclosed(
                "float64",
                "with one sender the total minus the recipient's own part is the sender's partial score",
                "two data parties only; rows that the agreement lets this recipient score; one vector per run",
                ROWS,
            )
        },
        learns="the only sender's partial score per row: x_k w_k, one number for all its features",
        step="score",
        limit="two data parties; one vector per run; neither features nor weights follow from a single vector",
        rows=None,
    ),
)


class WrongScoreCount(CodedError):
    code = "TMB-SCORE-001"
    cause = "A party sent a wrong number of scores; there must be one for each aligned row."
    remedy = "The two parties have aligned different rows. Start a new run. If it fails again, report it with the ids of both runs."


class ScoreOutOfRange(CodedError):
    code = "TMB-SCORE-002"
    cause = "A partial score is not finite or too large for the fixed-point form."
    remedy = "Look for extreme feature values in the table; declare `clip` for such columns in the agreement."


def exchange_scores(session: Session, own: npt.NDArray[np.float64], recipients: Iterable[str]) -> npt.NDArray[np.float64] | None:
    """Give every recipient the total score of each row; shape (n,) in the agreed order.

    ``own`` is this party's partial score, shape (n,). Returns the totals at a recipient and None elsewhere. Every data party calls
    it once per stage with the same recipients. Raises :class:`WrongScoreCount` and :class:`ScoreOutOfRange`.
    """
    if own.size and not np.max(np.abs(own)) <= SCORE_LIMIT:
        raise ScoreOutOfRange(party=session.me)
    wanted = list(recipients)
    for recipient in wanted:
        if recipient != session.me:
            _send(session, own, recipient)
    return _receive(session, own) if session.me in wanted else None


def masked(session: Session, senders: Sequence[str], own: npt.NDArray[np.float64], *labels: str) -> npt.NDArray[np.uint64]:
    """This sender's values in fixed point under masks that cancel in the sum over all senders; shape (n,).

    ``labels`` name the purpose, once per stage and round.
    """
    share = fixedpoint.encode(own, FRACTION_BITS).view(np.uint64)
    position = senders.index(session.me)
    for other, peer in enumerate(senders):
        if other != position:
            mask = session.pair(peer).stream(*labels).uint64(len(own))
            share = share + mask if position < other else share - mask
    return share


def unmasked(shares: Iterable[npt.NDArray[np.uint64]]) -> npt.NDArray[np.float64]:
    """The sums of all senders' shares; shape (n,)."""
    sums: npt.NDArray[np.uint64] = np.sum(list(shares), axis=0, dtype=np.uint64)
    return fixedpoint.decode(sums.view(np.int64), FRACTION_BITS)


def column(session: Session, message: str, name: str, sender: str, rows: int) -> npt.NDArray[Any]:
    """A received column of ``rows`` numbers; raises :class:`WrongScoreCount`."""
    values: npt.NDArray[Any] = Session.values(session.receive(message, sender, rows), name).to_numpy(zero_copy_only=False)
    if len(values) != rows:
        raise WrongScoreCount(f"{len(values)} scores for {rows} rows.", party=sender)
    return values


def _senders(session: Session, recipient: str) -> list[str]:
    return [party for party in session.data_parties if party != recipient]


def _send(session: Session, own: npt.NDArray[np.float64], recipient: str) -> None:
    senders = _senders(session, recipient)
    if len(senders) == 1:
        session.send("sole_score", recipient, score=own)
        return
    session.send("masked_score", recipient, share=masked(session, senders, own, "score", recipient))


def _receive(session: Session, own: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    senders = _senders(session, session.me)
    if len(senders) == 1:
        score = column(session, "sole_score", "score", senders[0], len(own))
        if score.size and not np.max(np.abs(score)) <= SCORE_LIMIT:
            raise ScoreOutOfRange(party=senders[0])
        return np.asarray(own + score, dtype=np.float64)
    shares = [column(session, "masked_score", "share", sender, len(own)) for sender in senders]
    return own + unmasked(shares)
