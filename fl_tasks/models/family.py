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
    """What an encoder may know of a run when it is fitted: the terms, the run's parameters, and whose table it is."""

    terms: Terms
    params: Parameters
    party: str


@dataclass(frozen=True)
class Model(Generic[E, P]):
    """A protocol's models; ``P`` is the class of a party's part, ``E`` that of its encoder.

    ``document`` is the part that is kept when training is over; ``totals`` gives every recipient the total score of each encoded
    row, over the declared ``messages`` (None where this party is no recipient), and ``assist`` is the arbiter's side of that.
    """

    part: type[P]
    encoder: Callable[[Mapping[str, Any]], E]
    document: Callable[[Session, E, State], dict[str, Any]]
    totals: Callable[[Session, P, Encoded, Iterable[str]], Floats | None]
    messages: MessageSet
    assist: Callable[[Session], None] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class VerticalModel(Model[E, P], Generic[E, P, R]):
    """Models over columns that lie with several parties, each of which encodes its own.

    ``fit`` makes the encoder from the training rows of a feature table, and refuses columns or rows that training could expose;
    ``rows`` is what a role program gets of a party's encoded training rows, of which the first so many are common to all parties.
    """

    fit: Callable[[Training, pa.Table, npt.NDArray[np.bool_]], E]
    rows: Callable[[E, Encoded, Labels | None, int], R]


@dataclass(frozen=True)
class HorizontalModel(Model[E, P], Generic[E, P]):
    """Models over rows that lie with several clients.

    ``common`` is the encoder that sums over all of them have led to; ``score`` gives the totals of encoded rows by the whole model
    that every client holds, for which no message is needed.
    """

    common: Callable[[Session], E]
    score: Callable[[P, Encoded], Floats]
