"""Quantiles of the clients' columns of numbers, from two histograms whose counts are secure sums, hence those of all rows together.

The first has equal bins over the column's public range or, where the terms name none, over sixteen deviations to both sides of the
joint mean: no more than one value in 257 lies beyond on a side (Cantelli), which is less than any bin of trees holds. The second
has its bins cut into equal ones, the more the more values are in them. A value x is in bin b where edge_(b-1) < x <= edge_b,
compared in single precision as in :mod:`tombolo.fl_tasks.learning.trees.bins`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tombolo.agreements.terms import Terms
from tombolo.fl_tasks.learning.horizontal.columns import (
    ClientRows,
    Floats,
    ForeignStatistics,
    ForeignSums,
    Statistics,
    expanded,
    raw,
)
from tombolo.fl_tasks.learning.horizontal.state import HISTOGRAMS, QUARTILES
from tombolo.fl_tasks.learning.horizontal.sums import Attendance, contribute_integers, sum_integers, told
from tombolo.fl_tasks.learning.terms import BoostingTerms
from tombolo.fl_tasks.learning.trees.bins import single, spaced
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.runtime.state import RunState

BINS = 1024
_DEVIATIONS = 16.0
_LARGEST = 1 << 26
_MOST = float(np.finfo(np.float32).max)
_SHARES = (0.25, 0.5, 0.75)
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Quartile:
    """A value that is off by at most ``error``; without one it lies beyond the last edge, which is then the value."""

    value: float
    error: float | None


@dataclass(frozen=True)
class Distribution:
    """How many values lie in each bin: ``edges`` of shape (n,), ``counts`` of shape (n + 1,), the first and the last bin open."""

    edges: Floats
    counts: Integers

    def upto(self) -> Integers:
        """How many values lie up to each bin's upper edge."""
        return np.cumsum(self.counts)

    def quartiles(self) -> list[Quartile]:
        """The three of them: the middles of the bins that hold the values there."""
        found, upto = [], self.upto()
        if not len(self.edges) or not upto[-1]:
            return []
        for share in _SHARES:
            at = int(np.searchsorted(upto, int(upto[-1] * share), side="right"))
            low, high = self.edges[max(at - 1, 0)], self.edges[min(at, len(self.edges) - 1)]
            inside = 0 < at < len(self.edges)
            found.append(Quartile(float(low + high) / 2, float(high - low) / 2 if inside else None))
        return found

    def cuts(self, bins: int, least: int) -> tuple[float, ...]:
        """Cuts at edges, as a table's own binner makes them: between all filled bins if there are few, else at quantiles; no bin
        below ``least`` values."""
        upto, filled = self.upto(), np.flatnonzero(self.counts)
        total = int(upto[-1])
        if not len(self.edges) or not total:
            return ()
        ranks = [total * k // bins for k in range(1, bins)]
        wanted = filled[:-1] if len(filled) <= bins else np.unique(np.searchsorted(upto, ranks, side="right"))
        wanted = wanted[wanted < len(self.edges)]
        return spaced(self.edges[wanted].tolist(), upto[wanted].tolist(), total, least)

    def finer(self, least: int) -> Floats:
        """Edges that cut every bin between two of these into equal ones, by how many values it holds, such that on average no
        finer bin has below ``least``; without those between empty bins."""
        total, inner = int(self.counts.sum()), self.counts[1:-1]
        most = min(BINS, total // max(1, least))
        pieces = np.maximum(1, -(-inner * most // max(total, 1)))
        made = [np.linspace(low, high, int(n) + 1) for low, high, n in zip(self.edges[:-1], self.edges[1:], pieces, strict=True)]
        used = (self.counts[:-1] > 0) | (self.counts[1:] > 0)
        return _singles(np.concatenate([self.edges[used], *(one[1:-1] for one in made)]))


def numbers(terms: Terms) -> list[int]:
    """Which of the expanded columns are numbers, not levels."""
    return [at for at, (_, level) in enumerate(expanded(terms)) if not level]


def wanted(terms: Terms) -> bool:
    """Whether a run finds quantiles: for trees, and where the terms ask for quartiles."""
    assert terms.task.horizontal_terms is not None
    return bool(numbers(terms)) and (terms.task.optional(BoostingTerms) is not None or terms.task.horizontal_terms.quartiles)


def first_edges(terms: Terms, found: Statistics) -> list[Floats]:
    """Edges of the first histogram, per column of numbers; none where all values are the same."""
    assert terms.task.horizontal_terms is not None
    edges, names = [], expanded(terms)
    for at in numbers(terms):
        public, mean = terms.task.horizontal_terms.features[names[at][0]].range, found.mean[at]
        reach = _DEVIATIONS * found.scale[at] * np.sqrt(max(found.rows / found.present[at], 1.0))
        if public is None and reach <= 1e-9 * max(1.0, abs(mean)):
            edges.append(np.zeros(0))
            continue
        low, high = (mean - reach, mean + reach) if public is None else public
        made = _singles(np.linspace(low, high, BINS + 1))
        made[0] = np.nextafter(np.float32(made[0]), np.float32(-np.inf))  # the lower end itself is inside
        edges.append(made)
    return edges


def counted(edges: Floats, values: Floats, name: str) -> Integers:
    """How many of a client's values are in each bin; NaN are in none. Raises :class:`UnusableColumn`."""
    present = single(values[~np.isnan(values)], name)
    return np.bincount(np.searchsorted(edges.astype(np.float32), present, side="left"), minlength=len(edges) + 1)


def client_quartiles(session: Session, rows: ClientRows, found: Statistics) -> None:
    """A client's part: two sums of counts; what is told of them is kept. Raises ForeignStatistics and what sums raise."""
    if QUARTILES in session.state:
        return
    edges, count = first_edges(session.terms, found), len(numbers(session.terms))
    session.enter(0)
    session.within(3)
    contribute_integers(session, _counts(session.terms, rows.table, edges))
    edges = unpacked(session, told(session), count, 4 * BINS)
    if any((np.diff(one) <= 0).any() for one in edges):
        raise ForeignStatistics("Edges of a histogram.", party=session.aggregator)
    session.within(4)
    contribute_integers(session, _counts(session.terms, rows.table, edges))
    quartiles = unpacked(session, told(session), count, 2 * len(_SHARES))
    session.within(None)
    if any(len(one) not in (0, 2 * len(_SHARES)) for one in quartiles):
        raise ForeignStatistics("Quartiles.", party=session.aggregator)
    _keep(session, [_quartiles(one) for one in quartiles])


def aggregate_quartiles(session: Session, attendance: Attendance, found: Statistics) -> None:
    """The aggregator's part; it keeps the second histograms, for cuts. Raises what sums raise."""
    if QUARTILES in session.state:
        return
    session.enter(0)
    session.within(3)
    first = _summed(session, attendance, first_edges(session.terms, found))
    edges = [one.finer(session.terms.limits.minimum_bin_rows) for one in first]
    session.send("statistic", value=packed(edges))
    session.within(4)
    second = _summed(session, attendance, edges)
    quartiles = [one.quartiles() for one in second]
    flat = [[part for one in column for part in (one.value, -1.0 if one.error is None else one.error)] for column in quartiles]
    session.send("statistic", value=packed(flat))
    session.within(None)
    session.state.keep(HISTOGRAMS, [{"edges": one.edges.tolist(), "counts": one.counts.tolist()} for one in second])
    _keep(session, quartiles)


def histograms_of(training: RunState) -> list[Distribution]:
    """The second histograms, per column of numbers, at the aggregator."""
    stored = training.get(HISTOGRAMS) or []
    return [Distribution(np.array(one["edges"], dtype=np.float64), np.array(one["counts"], dtype=np.int64)) for one in stored]


def quartiles_of(training: RunState) -> Mapping[str, list[Quartile]]:
    """The quartiles that a training stage keeps, by column of numbers; nothing where there are none."""
    stored = training.get(QUARTILES) or {}
    return {name: [Quartile(*one) for one in found] for name, found in stored.items()}


def packed(vectors: Sequence[npt.ArrayLike]) -> Floats:
    """Several vectors as one: their lengths first."""
    arrays = [np.asarray(one, dtype=np.float64) for one in vectors]
    return np.concatenate([[float(len(one)) for one in arrays], *arrays])


def unpacked(session: Session, values: Floats, count: int, most: int) -> list[Floats]:
    """Inverse of :func:`packed`, of ``count`` vectors, each of at most ``most`` values. Raises :class:`ForeignStatistics`."""
    lengths = values[:count]
    if len(lengths) != count or (lengths != np.clip(np.rint(lengths), 0, most)).any() or lengths.sum() != len(values) - count:
        raise ForeignStatistics("Of several columns.", party=session.aggregator)
    return np.split(values[count:], np.cumsum(lengths.astype(np.int64))[:-1])[:count]


def _counts(terms: Terms, table: pa.Table, edges: Sequence[Floats]) -> Integers:
    x, names = raw(terms, table), expanded(terms)
    found = [counted(one, x[:, at], names[at][0]) for at, one in zip(numbers(terms), edges, strict=True)]
    return np.concatenate([np.zeros(0, dtype=np.int64), *found])


def _summed(session: Session, attendance: Attendance, edges: Sequence[Floats]) -> list[Distribution]:
    sizes = [len(one) + 1 for one in edges]
    sums = sum_integers(session, sum(sizes), attendance)
    if (sums < 0).any():
        raise ForeignSums(party=session.me)
    return [Distribution(one, counts) for one, counts in zip(edges, np.split(sums, np.cumsum(sizes)[:-1]), strict=True)]


def _singles(values: Floats) -> Floats:
    """Values rounded to single precision, ascending, each once."""
    return np.unique(np.clip(values, -_MOST, _MOST).astype(np.float32)).astype(np.float64)


def _quartiles(flat: Floats) -> list[Quartile]:
    pairs = flat.reshape(-1, 2).tolist()
    return [Quartile(value, None if error < 0 else error) for value, error in pairs]


def _keep(session: Session, quartiles: Sequence[Sequence[Quartile]]) -> None:
    names = expanded(session.terms)
    columns = zip((names[at][0] for at in numbers(session.terms)), quartiles, strict=True)
    session.state.keep(QUARTILES, {name: [[one.value, one.error] for one in found] for name, found in columns})
