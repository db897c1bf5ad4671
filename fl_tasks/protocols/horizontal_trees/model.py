"""Models of trees over the rows of clients. Every client has the whole model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tombolo.fl_tasks.learning.parameters import Boosted
from tombolo.fl_tasks.learning.trees.bins import Binner, Codes
from tombolo.fl_tasks.learning.trees.part import EVERYBODY, TreePart
from tombolo.fl_tasks.learning.trees.records import kept
from tombolo.fl_tasks.learning.trees.state import RECORDS, TREES
from tombolo.fl_tasks.models.family import Floats, HorizontalModel
from tombolo.fl_tasks.protocols.horizontal_trees.start import binner_of
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.schema import MessageSet


def _document(session: Session, binner: Binner, state: State) -> dict[str, Any]:
    """The records and trees of the rounds that the model keeps."""
    rounds = int(state["kept"])
    return {
        "records": kept(session, RECORDS, rounds),
        "trees": kept(session, TREES, rounds),
        "depth": session.parameters(Boosted).depth,
        "rounds": rounds,
        "base": [float(margin) for margin in state["base"]],
        "parties": [EVERYBODY],
        "validation_loss": [float(loss) for loss in state["validation"]],
    }


def _score(part: TreePart, x: Codes) -> Floats:
    totals = part.totals(x)
    return totals if totals.shape[1] > 1 else totals[:, 0]


def _totals(session: Session, part: TreePart, x: Codes, recipients: Iterable[str]) -> Floats:
    return _score(part, x)


def _common(session: Session) -> Binner:
    return binner_of(session.state)


MODEL = HorizontalModel(TreePart, Binner.from_document, _document, _totals, MessageSet("none"), common=_common, score=_score)
