"""What the parties of a run contributed and earn: computed at the start of settlement, with the same result at every party."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tombolo.agreements.terms import IncentiveTerms
from tombolo.fl_tasks.incentives import volume
from tombolo.fl_tasks.incentives.coalitions import MESSAGES, Floats, ScoresOf, share_volume, value_coalitions
from tombolo.fl_tasks.incentives.game import Game, metric_of, unvalued
from tombolo.fl_tasks.incentives.rewards import training_rewards
from tombolo.fl_tasks.incentives.shapley import Coalition
from tombolo.fl_tasks.incentives.state import TWO_COUNTS, WRONG_COUNT
from tombolo.fl_tasks.learning.linear_part import LinearPart, partial_scores
from tombolo.fl_tasks.models.reading import part_of_run
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.record import enter, enter_finding
from tombolo.fl_tasks.runtime.session import Progress
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.workflow.aligned import LEARNT, SCORED, encoded_rows, label, load_aligned
from tombolo.fl_tasks.workflow.live import live_facts
from tombolo.fl_tasks.workflow.retrain import retrain
from tombolo.fl_tasks.workflow.state import CONTRIBUTIONS, EVALUATION, GATE
from tombolo.storage.roles import CLIENT, DATA, GUEST

NOTHING: dict[str, Any] = {"contributions": None, "rewards": None}


def contribute(context: PartyContext, run: str, wait: Wait, progress: Progress) -> dict[str, Any]:
    """``{"contributions": ..., "rewards": ...}`` of a run; both None if the terms pay nothing or the model was not accepted.

    Repeating it changes nothing. Raises the errors of :mod:`tombolo.fl_tasks.incentives.coalitions`,
    :mod:`tombolo.fl_tasks.workflow.live` and training.
    """
    if context.terms.incentives is None:
        return NOTHING
    facts = context.state(run).once(CONTRIBUTIONS, lambda: _facts(context, run, wait, progress))
    if facts["contributions"] is not None:
        names = ("method", "shapley", "volume", "training_rows", "live")
        worth = {name: facts["contributions"][name] for name in names if name in facts["contributions"]}
        enter(context, run, "contributions", facts["contributions"]["metric"], **worth, paid=facts["rewards"])
    return facts


def _facts(context: PartyContext, run: str, wait: Wait, progress: Progress) -> dict[str, Any]:
    if context.manifest(run).invitation.kind == "predict":
        return live_facts(context, run, wait, progress)
    return _training_facts(context, run, wait, progress) if GATE in context.state(run) else NOTHING


def _training_facts(context: PartyContext, run: str, wait: Wait, progress: Progress) -> dict[str, Any]:
    incentives = context.terms.incentives
    assert incentives is not None
    if context.terms.task.horizontal_terms is not None:
        by_rows = _row_facts(context, run, incentives, wait, progress)
        return {"contributions": by_rows, "rewards": training_rewards(incentives, by_rows, context.taking_part(run))}
    game = Game.of(context.terms, context.roles, bytes.fromhex(context.manifest(run).digest))
    evaluation = context.state(run)[EVALUATION]
    scores_of, labels = None, None
    if incentives.method == "shapley":
        scores_of, labels = _own_scores(context, run, game, wait, progress)
    with context.session(run, MESSAGES, "contribute", wait, progress, settling=True) as session:
        columns = len(part_of_run(context, run).encoder.names) if session.role in DATA else None
        worth = game.contributions(incentives, evaluation["rows"], share_volume(session, columns))
        if incentives.method == "shapley":
            told = float(evaluation["metrics"][game.metric])
            worth |= game.assessed(value_coalitions(session, game, evaluation["rows"], told, scores_of, labels))
        session.report(**{f"contribution, {party}": value for party, value in (worth["shapley"] or worth["volume"]).items()})
    return {"contributions": worth, "rewards": training_rewards(incentives, worth, context.taking_part(run))}


def _row_facts(context: PartyContext, run: str, incentives: IncentiveTerms, wait: Wait, progress: Progress) -> dict[str, Any]:
    """Contributions of clients, by their training rows. A client that took no part, or does not settle the run, has none."""
    own = int((~load_aligned(context, run).test).sum()) if context.role == CLIENT else None
    with context.session(run, volume.MESSAGES, "contribute", wait, progress, settling=True) as session:
        try:
            counts = volume.agree_on_rows(session, own)
        finally:  # the record names who sent a wrong count, also if there is no result
            for wrong in session.state.all(WRONG_COUNT):
                enter_finding(context, run, f"{wrong.key[0]}, rows", session.state[wrong])
        session.report(**{f"rows, {party}": rows for party, rows in counts.items()})
        if own is not None and context.me not in counts:
            enter_finding(context, run, f"{context.me}, rows", volume.NotCounted.code)
        for client in two_counts(context, run):
            enter_finding(context, run, f"{client}, rows", volume.TwoCounts.code)
    rows = int(context.state(run)[EVALUATION]["rows"])
    worth = unvalued(metric_of(context.terms), incentives, rows, volume.shares(context.clients, counts))
    return {**worth, "training_rows": {client: counts.get(client, 0) for client in context.clients}}


def two_counts(context: PartyContext, run: str) -> list[str]:
    """Clients that told this party another number of rows than they told others. This party keeps a proof of each."""
    return [proof.key[0] for proof in context.state(run, "contribute").all(TWO_COUNTS)]


def _own_scores(
    context: PartyContext, run: str, game: Game, wait: Wait, progress: Progress
) -> tuple[ScoresOf | None, Floats | None]:
    """This party's addend to the scores of the held-out rows for every coalition, and the labels at the guest.

    Both are None at a party without a table. The empty coalition gives every row the same score, from the mean label of the
    training rows, which the guest adds. In a coalition without this party, its addend is its mean score over the training rows, or
    0 if coalitions train models of their own.
    """
    retrained = context.terms.incentives is not None and context.terms.incentives.absent == "retrain"
    weights = retrain(context, run, game, wait, progress) if retrained else {}
    if context.role not in DATA:
        return None, None
    part, aligned = part_of_run(context, run), load_aligned(context, run)
    assert isinstance(part, LinearPart)
    labels, held_out = label(context, aligned) if context.role == GUEST else None, encoded_rows(context, run, SCORED)
    present = partial_scores(part, held_out)
    absent = 0.0 if retrained else float(partial_scores(part, encoded_rows(context, run, LEARNT)).mean())
    prior = 0.0 if labels is None else _prior(context.terms.task.outcome, labels[~aligned.test])

    def scores_of(coalition: Coalition) -> Floats:
        if context.me not in coalition:
            return np.full(len(present), absent if coalition else prior)
        if coalition not in weights:
            return present
        own = weights[coalition]
        at = 1 if context.role == GUEST else 0
        return partial_scores(replace(part, weights=own[at:], intercept=float(own[0]) if at else 0.0), held_out)

    return scores_of, None if labels is None else labels[aligned.test]


def _prior(outcome: str, labels: Floats) -> float:
    """The score of a row if only the mean of the label is known: that mean, or its logit."""
    mean = float(labels.mean())
    return mean if outcome == "number" else float(np.log(mean) - np.log1p(-mean))
