"""Models of coalitions: each coalition that is valued by its own model trains with the agreed protocol again, in the same run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.incentives.game import Game
from tombolo.fl_tasks.incentives.shapley import Coalition
from tombolo.fl_tasks.learning.linear_part import LinearPart
from tombolo.fl_tasks.learning.parameters import Penalised
from tombolo.fl_tasks.learning.vertical.rows import VerticalRows
from tombolo.fl_tasks.models.reading import part_of_run
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.session import Progress
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.workflow.aligned import LEARNT, encoded_rows, label, load_aligned
from tombolo.fl_tasks.workflow.parts import programs_of, reference_of
from tombolo.fl_tasks.workflow.state import RETRAINED
from tombolo.storage.roles import ARBITER, GUEST

Weights = npt.NDArray[np.float64]


def retrain(context: PartyContext, run: str, game: Game, wait: Wait, progress: Progress) -> Mapping[Coalition, Weights]:
    """Train with every coalition that this party belongs to, one after the other. The guest alone trains locally.

    Returns this party's weights by coalition (at the guest the intercept comes first; the arbiter's are empty). The coalition of
    all parties has the weights of the run's own model. Trained weights are kept, and an interrupted training goes on.
    """
    weights: dict[Coalition, Weights] = {}
    state = context.state(run)
    for number, coalition in enumerate(game.asked):
        if context.me not in coalition and (context.role != ARBITER or len(coalition) < 2):
            continue
        mine = RETRAINED.of(number)
        kept = state.get(mine) or state.keep(mine, {"w": _weights(context, run, game, number, wait, progress)})
        weights[coalition] = kept["w"]
    return weights


def _weights(context: PartyContext, run: str, game: Game, number: int, wait: Wait, progress: Progress) -> Weights:
    """This party's weights in the model of one coalition; an empty array at the arbiter."""
    coalition = game.asked[number]
    everybody = coalition == frozenset(game.players)
    if context.role == ARBITER:
        return np.zeros(0) if everybody else _train(context, run, coalition, number, None, wait, progress)
    part = part_of_run(context, run)
    assert isinstance(part, LinearPart)
    if everybody:
        return np.concatenate([[part.intercept], part.weights]) if context.role == GUEST else part.weights
    data = _data(context, run, part)
    if len(coalition) == 1:
        assert data.y is not None
        alone, params = reference_of(context.terms.task).alone, context.params(run)
        assert alone is not None and isinstance(params, Penalised)
        weights, intercept = alone(data.x, data.y, params.l2)
        return np.concatenate([[intercept], weights])
    return _train(context, run, coalition, number, data, wait, progress)


def _train(
    context: PartyContext, run: str, coalition: Coalition, number: int, data: VerticalRows | None, wait: Wait, progress: Progress
) -> Weights:
    programs = programs_of(context.terms.task)
    among = {party for party, role in context.roles.items() if party in coalition or role == ARBITER}
    stage = f"retrain-{number:04d}"
    with context.session(run, programs.messages, stage, wait, progress, settling=True, among=among) as session:
        if data is None:
            programs.help(session)
            return np.zeros(0)
        state = programs.data[session.role](session, data)
        return np.asarray(state["w"], dtype=np.float64)


def _data(context: PartyContext, run: str, part: LinearPart) -> VerticalRows:
    """This party's training rows, with the same encoding as in the run's own model."""
    aligned = load_aligned(context, run)
    target = label(context, aligned)[~aligned.test] if context.role == GUEST else None
    return VerticalRows(encoded_rows(context, run, LEARNT), target, tuple(part.encoder.names))
