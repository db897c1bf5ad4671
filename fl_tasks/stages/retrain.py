"""Models of coalitions: the agreed protocol once more in the same run, for each coalition that is to be valued by its own model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from fl_tasks.checkpoints import pack, unpack
from fl_tasks.incentives.game import Game
from fl_tasks.incentives.shapley import Coalition
from fl_tasks.models.linear import LinearPart
from fl_tasks.models.reading import part_of_run
from fl_tasks.models.reference import fit_alone
from fl_tasks.session import Progress
from fl_tasks.stages.aligned import features, label, load_aligned
from fl_tasks.stages.train import PROTOCOLS
from fl_tasks.vertical.block import Block
from fl_tasks.waiting import Wait
from fl_tasks.workplace import Workplace
from storage.roles import ARBITER, GUEST

Weights = npt.NDArray[np.float64]


def retrain(place: Workplace, run: str, game: Game, wait: Wait, progress: Progress) -> Mapping[Coalition, Weights]:
    """Train with every coalition that this party belongs to, one after the other; the guest by itself, at home.

    Returns this party's weights by coalition (the guest's with the intercept first), of all parties' coalition those of the run's
    own model; nothing at the arbiter. What is trained is kept, and a training that was interrupted goes on.
    """
    found: dict[Coalition, Weights] = {}
    kept = place.run_area(run).area("retrained")
    for number, coalition in enumerate(game.asked):
        if place.me not in coalition and (place.role != ARBITER or len(coalition) < 2):
            continue
        stored = kept.get(f"{number:04d}")
        if stored is None:
            stored = kept.keep(f"{number:04d}", pack({"w": _weights(place, run, game, number, wait, progress)}))
        found[coalition] = unpack(stored)["w"]
    return found


def _weights(place: Workplace, run: str, game: Game, number: int, wait: Wait, progress: Progress) -> Weights:
    """This party's weights in one coalition's model; none at the arbiter."""
    coalition = game.asked[number]
    everybody = coalition == frozenset(game.players)
    if place.role == ARBITER:
        return np.zeros(0) if everybody else _train(place, run, coalition, number, None, wait, progress)
    part = part_of_run(place, run)
    assert isinstance(part, LinearPart)
    if everybody:
        return np.concatenate([[part.intercept], part.weights]) if place.role == GUEST else part.weights
    block = _block(place, run, part)
    if len(coalition) == 1:
        assert block.y is not None
        weights, intercept = fit_alone(place.terms.task.protocol, block.x, block.y, float(place.params(run)["l2"]))
        return np.concatenate([[intercept], weights])
    return _train(place, run, coalition, number, block, wait, progress)


def _train(
    place: Workplace, run: str, coalition: Coalition, number: int, block: Block | None, wait: Wait, progress: Progress
) -> Weights:
    protocol = PROTOCOLS[place.terms.task.training]
    among = {party for party, role in place.roles.items() if party in coalition or role == ARBITER}
    stage = f"retrain-{number:04d}"
    with place.session(run, protocol.CONTRACT, stage, wait, progress, settling=True, among=among) as session:
        if block is None:
            protocol.arbiter(session)
            return np.zeros(0)
        state = protocol.guest(session, block) if session.role == GUEST else protocol.host(session, block)
        return np.asarray(state["w"], dtype=np.float64)


def _block(place: Workplace, run: str, part: LinearPart) -> Block:
    """This party's training rows, encoded as for the run's own model."""
    aligned = load_aligned(place, run)
    target = label(place, aligned)[~aligned.test] if place.role == GUEST else None
    return Block(part.encoder.transform(features(place, aligned).filter(~aligned.test)), target, tuple(part.encoder.names))
