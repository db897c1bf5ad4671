"""Quantiles of the clients' columns of numbers over all rows together, from two histograms whose counts are secure sums.

The first has equal bins over the column's public range. If the terms name no range, its bins cover sixteen deviations on both sides
of the joint mean: at most one value in 257 lies beyond a side (Cantelli), fewer than any bin of trees holds. The second divides the
bins of the first into equal ones; a bin with more values gets more of them. A value x is in bin b where edge_(b-1) < x <= edge_b,
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
    """A ``value`` that is wrong by at most ``error``; without ``error``, the quartile is beyond ``value``, the outermost edge."""

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
        """The three quartiles: the middles of the bins that hold them."""
        middles, upto = [], self.upto()
        if not len(self.edges) or not upto[-1]:
            return []
        for share in _SHARES:
            at = int(np.searchsorted(upto, int(upto[-1] * share), side="right"))
            low, high = self.edges[max(at - 1, 0)], self.edges[min(at, len(self.edges) - 1)]
            inside = 0 < at < len(self.edges)
            middles.append(Quartile(float(low + high) / 2, float(high - low) / 2 if inside else None))
        return middles

    def cuts(self, bins: int, least: int) -> tuple[float, ...]:
        """Cuts at edges, made as for one table: between all filled bins if there are few, else at quantiles. A bin has ``least``
        values or more."""
        upto, filled = self.upto(), np.flatnonzero(self.counts)
        total = int(upto[-1])
        if not len(self.edges) or not total:
            return ()
        ranks = [total * k // bins for k in range(1, bins)]
        wanted = filled[:-1] if len(filled) <= bins else np.unique(np.searchsorted(upto, ranks, side="right"))
        wanted = wanted[wanted < len(self.edges)]
        return spaced(self.edges[wanted].tolist(), upto[wanted].tolist(), total, least)

    def finer(self, least: int) -> Floats:
        """Edges that divide every inner bin into equal ones: more of them if it has more values, on average with ``least`` values
        or more. Edges between empty bins are left out."""
        total, inner = int(self.counts.sum()), self.counts[1:-1]
        most = min(BINS, total // max(1, least))
        pieces = np.maximum(1, -(-inner * most // max(total, 1)))
        made = [np.linspace(low, high, int(n) + 1) for low, high, n in zip(self.edges[:-1], self.edges[1:], pieces, strict=True)]
        used = (self.counts[:-1] > 0) | (self.counts[1:] > 0)
        return _singles(np.concatenate([self.edges[used], *(finer[1:-1] for finer in made)]))


def numbers(terms: Terms) -> list[int]:
    """Which of the expanded columns are numbers, not levels."""
    return [at for at, (_, level) in enumerate(expanded(terms)) if not level]


def wanted(terms: Terms) -> bool:
    """Whether a run finds quantiles: for trees, or if the terms ask for quartiles."""
    assert terms.task.horizontal_terms is not None
    return bool(numbers(terms)) and (terms.task.optional(BoostingTerms) is not None or terms.task.horizontal_terms.quartiles)


def first_edges(terms: Terms, found: Statistics) -> list[Floats]:
    """Edges of the first histogram, per column of numbers; none if all values are the same."""
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
    """A client's part: two sums of counts. It keeps the quartiles that come back. Raises ForeignStatistics and what sums raise."""
    if QUARTILES in session.state:
        return
    edges, count = first_edges(session.terms, found), len(numbers(session.terms))
    session.enter(0)
    session.within(3)
    contribute_integers(session, _counts(session.terms, rows.table, edges))
    edges = unpacked(session, count, 4 * BINS)
    if any((np.diff(column) <= 0).any() for column in edges):
        raise ForeignStatistics("Edges of a histogram.", party=session.aggregator)
    session.within(4)
    contribute_integers(session, _counts(session.terms, rows.table, edges))
    quartiles = unpacked(session, count, 2 * len(_SHARES))
    session.within(None)
    if any(len(flat) not in (0, 2 * len(_SHARES)) for flat in quartiles):
        raise ForeignStatistics("Quartiles.", party=session.aggregator)
    _keep(session, [_quartiles(flat) for flat in quartiles])


def aggregate_quartiles(session: Session, attendance: Attendance, found: Statistics) -> None:
    """The aggregator's part; it keeps the second histograms, for cuts. Raises what sums raise."""
    if QUARTILES in session.state:
        return
    session.enter(0)
    session.within(3)
    first = _summed(session, attendance, first_edges(session.terms, found))
    edges = [histogram.finer(session.terms.limits.minimum_bin_rows) for histogram in first]
    session.send("statistic", value=packed(edges))
    session.within(4)
    second = _summed(session, attendance, edges)
    quartiles = [histogram.quartiles() for histogram in second]
    flat = [[number for q in column for number in (q.value, -1.0 if q.error is None else q.error)] for column in quartiles]
    session.send("statistic", value=packed(flat))
    session.within(None)
    session.state.keep(HISTOGRAMS, [{"edges": made.edges.tolist(), "counts": made.counts.tolist()} for made in second])
    _keep(session, quartiles)


def histograms_of(training: RunState) -> list[Distribution]:
    """The second histograms, per column of numbers, at the aggregator."""
    stored = training.get(HISTOGRAMS) or []
    return [Distribution(np.array(kept["edges"], dtype=np.float64), np.array(kept["counts"], dtype=np.int64)) for kept in stored]


def quartiles_of(training: RunState) -> Mapping[str, list[Quartile]]:
    """The quartiles that a training stage keeps, by column of numbers; empty if there are none."""
    stored = training.get(QUARTILES) or {}
    return {name: [Quartile(*pair) for pair in pairs] for name, pairs in stored.items()}


def packed(vectors: Sequence[npt.ArrayLike]) -> Floats:
    """Several vectors as one: their lengths first."""
    arrays = [np.asarray(vector, dtype=np.float64) for vector in vectors]
    return np.concatenate([[float(len(array)) for array in arrays], *arrays])


def unpacked(session: Session, count: int, most: int) -> list[Floats]:
    """Receive what :func:`packed` made of ``count`` vectors, each of at most ``most`` values. Raises :class:`ForeignStatistics`."""
    values = told(session, count * (1 + most), fewer=True)
    lengths = values[:count]
    if len(lengths) != count or (lengths != np.clip(np.rint(lengths), 0, most)).any() or lengths.sum() != len(values) - count:
        raise ForeignStatistics("Values of several columns.", party=session.aggregator)
    return np.split(values[count:], np.cumsum(lengths.astype(np.int64))[:-1])[:count]


def _counts(terms: Terms, table: pa.Table, edges: Sequence[Floats]) -> Integers:
    x, names = raw(terms, table), expanded(terms)
    counts = [counted(column, x[:, at], names[at][0]) for at, column in zip(numbers(terms), edges, strict=True)]
    return np.concatenate([np.zeros(0, dtype=np.int64), *counts])


def _summed(session: Session, attendance: Attendance, edges: Sequence[Floats]) -> list[Distribution]:
    sizes = [len(column) + 1 for column in edges]
    sums = sum_integers(session, sum(sizes), attendance)
    if (sums < 0).any():
        raise ForeignSums(party=session.me)
    return [Distribution(column, counts) for column, counts in zip(edges, np.split(sums, np.cumsum(sizes)[:-1]), strict=True)]


def _singles(values: Floats) -> Floats:
    """Values rounded to single precision, ascending, each once."""
    return np.unique(np.clip(values, -_MOST, _MOST).astype(np.float32)).astype(np.float64)


def _quartiles(flat: Floats) -> list[Quartile]:
    pairs = flat.reshape(-1, 2).tolist()
    return [Quartile(value, None if error < 0 else error) for value, error in pairs]


def _keep(session: Session, quartiles: Sequence[Sequence[Quartile]]) -> None:
    names = expanded(session.terms)
    columns = zip((names[at][0] for at in numbers(session.terms)), quartiles, strict=True)
    session.state.keep(QUARTILES, {name: [[q.value, q.error] for q in column] for name, column in columns})
