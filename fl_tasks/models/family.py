"""What a protocol's models are: how columns become numbers, what is kept of a training, and how rows are scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tombolo.agreements.parameters import Parameters
from tombolo.agreements.terms import Terms
from tombolo.fl_tasks.models.part import Encodes, ModelPart
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.schema import MessageSet

Floats = npt.NDArray[np.float64]
Encoded = npt.NDArray[Any]
"""What an encoder makes of rows, shape (rows, columns)."""
E = TypeVar("E", bound=Encodes)
P = TypeVar("P", bound=ModelPart)
R = TypeVar("R")


@dataclass(frozen=True)
class Labels:
    """Labels and weights of training rows, shape (rows,)."""

    y: Floats
    w: Floats


@dataclass(frozen=True)
class Training:
    """What an encoder may know of a run when it is fitted: the terms, the run's parameters, and the party that owns the table."""

    terms: Terms
    params: Parameters
    party: str


@dataclass(frozen=True)
class Model(Generic[E, P]):
    """A protocol's models; ``P`` is the class of a party's part, ``E`` that of its encoder.

    ``document`` makes the part that is kept after training. ``totals`` gives every recipient the total score of each encoded row.
    It sends ``messages``, and returns None at a party that is not a recipient. ``assist`` is what the arbiter does meanwhile.
    """

    part: type[P]
    encoder: Callable[[Mapping[str, Any]], E]
    document: Callable[[Session, E, State], dict[str, Any]]
    totals: Callable[[Session, P, Encoded, Iterable[str]], Floats | None]
    messages: MessageSet
    assist: Callable[[Session], None] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class VerticalModel(Model[E, P], Generic[E, P, R]):
    """Models over the columns of several parties. Each party encodes its own columns.

    ``fit`` makes the encoder from the training rows of a feature table, and refuses columns or rows that training could expose;
    ``rows`` turns a party's encoded training rows into what a role program takes. Its last argument is the number of rows that are
    common to all parties; these rows come first.
    """

    fit: Callable[[Training, pa.Table, npt.NDArray[np.bool_]], E]
    rows: Callable[[E, Encoded, Labels | None, int], R]


@dataclass(frozen=True)
class HorizontalModel(Model[E, P], Generic[E, P]):
    """Models over the rows of several clients.

    ``common`` gives the encoder, which comes from sums over all clients. ``score`` gives the totals of encoded rows. It needs no
    message, because every client holds the whole model.
    """

    common: Callable[[Session], E]
    score: Callable[[P, Encoded], Floats]
