"""Models of vertical regression: every party has the weights of its own columns, and the guest the intercept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tombolo.fl_tasks.learning.linear_part import LinearPart, partial_scores
from tombolo.fl_tasks.learning.vertical import scoring
from tombolo.fl_tasks.learning.vertical.rows import VerticalRows
from tombolo.fl_tasks.models.family import Floats, Labels, Training, VerticalModel
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.tables.encoding import Encoder
from tombolo.storage.roles import GUEST


def fit(training: Training, table: pa.Table, train: npt.NDArray[np.bool_]) -> Encoder:
    """The encoder of a party's columns. Raises the coded errors of :meth:`Encoder.fit`."""
    terms, party = training.terms, training.party
    return Encoder.fit(table, terms.table(party), train, terms.limits, party)


def rows(encoder: Encoder, x: Floats, labels: Labels | None, common: int) -> VerticalRows:
    """A party's training rows for the role programs."""
    return VerticalRows(x, None if labels is None else labels.y, tuple(encoder.names))


def _document(session: Session, encoder: Encoder, state: State) -> dict[str, Any]:
    """The guest's first weight is the intercept."""
    guest = session.role == GUEST
    weights = np.asarray(state["w"], np.float64)
    return {"weights": weights[1:] if guest else weights, "intercept": float(weights[0]) if guest else None}


def _totals(session: Session, part: LinearPart, x: Floats, recipients: Iterable[str]) -> Floats | None:
    return scoring.exchange_scores(session, partial_scores(part, x), recipients)


MODEL = VerticalModel(LinearPart, Encoder.from_document, _document, _totals, scoring.MESSAGES, fit=fit, rows=rows)
