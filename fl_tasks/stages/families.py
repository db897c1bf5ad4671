"""What differs between families of models, for the stages: how columns become numbers, what is kept, how rows are scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fl_tasks.checkpoints import State
from fl_tasks.models.part import Encodes, ModelPart, partial_scores
from fl_tasks.session import Session
from fl_tasks.tables.encoding import Encoder
from fl_tasks.vertical import scoring
from fl_tasks.vertical.block import Block
from fl_tasks.workplace import Workplace
from storage.schema import GUEST, Message

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Labels:
    """The guest's labels and weights of its training rows, shape (rows,)."""

    y: Floats
    w: Floats


@dataclass(frozen=True)
class Family:
    """One family's own ways.

    ``fit`` makes the encoder from the training rows of a feature table, and refuses columns or rows that training could expose;
    ``block`` is what a protocol's role gets of a party's training rows; ``document`` the model part that is kept when training is
    over; ``totals`` gives every recipient the total score of each row, over the declared ``messages``.
    """

    fit: Callable[[Workplace, str, pa.Table, npt.NDArray[np.bool_]], Encodes]
    encoder: Callable[[Mapping[str, Any]], Encodes]
    block: Callable[[Any, pa.Table, Labels | None], Any]
    document: Callable[[Session, Any, State], dict[str, Any]]
    messages: tuple[Message, ...]
    totals: Callable[[Session, Any, pa.Table, Iterable[str]], Floats | None]


def family_of(protocol: str) -> Family:
    """The family of a training protocol."""
    return _LINEAR


def _fit_linear(place: Workplace, run: str, table: pa.Table, train: npt.NDArray[np.bool_]) -> Encoder:
    return Encoder.fit(table, place.terms.table(place.me), train, place.terms.limits, place.me)


def _linear_block(encoder: Encoder, table: pa.Table, labels: Labels | None) -> Block:
    return Block(encoder.transform(table), None if labels is None else labels.y, tuple(encoder.names))


def _linear_document(session: Session, encoder: Encoder, state: State) -> dict[str, Any]:
    """The guest's first weight is the intercept."""
    guest = session.role == GUEST
    weights = [float(one) for one in state["w"]]
    return {"weights": weights[1:] if guest else weights, "intercept": weights[0] if guest else None}


def _linear_totals(session: Session, part: ModelPart, table: pa.Table, recipients: Iterable[str]) -> Floats | None:
    return scoring.exchange_scores(session, partial_scores(part, table), recipients)


_LINEAR = Family(_fit_linear, Encoder.from_document, _linear_block, _linear_document, scoring.MESSAGES, _linear_totals)
