"""Ranks of equations, and what a protocol declares about a federation's training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tests.federation import Federation
from tombolo.fl_tasks.privacy.numbers import Numbers, Shape

TOLERANCE = 1e-11
"""Singular values below this part of the largest are rounding errors: numbers have 24 to 56 fractional bits."""


def rank(weights: Sequence[np.ndarray]) -> int:
    """The rank of equations of shape (equations, rows), stacked. Each is scaled to length 1, so that small weights count."""
    stacked = np.vstack(list(weights))
    lengths = np.linalg.norm(stacked, axis=1)
    real = stacked[lengths > 0] / lengths[lengths > 0, None]
    return int((np.linalg.svd(real, compute_uv=False) > TOLERANCE * len(real)).sum()) if len(real) else 0


def declared(fed: Federation, columns: Mapping[str, int], rows: int, rounds: int, **parameters: object) -> list[Numbers]:
    """What the engine of this federation's terms declares for a training of this shape."""
    terms = fed.context(fed.guest).terms
    task, roles = terms.task, {party: one.role for party, one in terms.parties.items()}
    engine = task.descriptor.engine(task.engine)
    params = engine.parameters(**{name: one.default for name, one in task.allowed_parameters().items()} | parameters)
    return task.descriptor.load(str(engine.numbers))(Shape(roles, columns, rows, rounds, params, tuple(task.sections)))


def one(found: Sequence[Numbers], about: str, owner: str, to: set[str] | None = None) -> Numbers:
    """The only entry about this; with ``to``, the one for these recipients."""
    (number,) = [entry for entry in found if (entry.about, entry.owner) == (about, owner) and to in (None, set(entry.to))]
    return number
