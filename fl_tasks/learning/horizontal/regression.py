"""Models of horizontal regression: every client has the whole model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tombolo.fl_tasks.learning.horizontal.columns import encoder as common_encoder
from tombolo.fl_tasks.learning.horizontal.newton import model_weights
from tombolo.fl_tasks.learning.horizontal.statistics import statistics_of
from tombolo.fl_tasks.learning.linear_part import LinearPart, partial_scores
from tombolo.fl_tasks.models.family import Floats, HorizontalModel
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.tables.encoding import Encoder
from tombolo.storage.schema import MessageSet


def common(session: Session) -> Encoder:
    """The encoder that comes from the statistics over all clients."""
    return common_encoder(session.terms, statistics_of(session.state))


def _document(session: Session, encoder: Encoder, state: State) -> dict[str, Any]:
    weights, intercept = model_weights(statistics_of(session.state), state["w"])
    return {"weights": np.asarray(weights, np.float64), "intercept": intercept}


def _totals(session: Session, part: LinearPart, x: Floats, recipients: Iterable[str]) -> Floats:
    return partial_scores(part, x)


MODEL = HorizontalModel(
    LinearPart, Encoder.from_document, _document, _totals, MessageSet("none"), common=common, score=partial_scores
)
