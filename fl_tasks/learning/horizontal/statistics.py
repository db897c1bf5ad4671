"""Statistics over all clients' training rows by three secure sums: means, mean absolute deviations, and squares in their units.

The deviation of a column is measured in units of its mean absolute deviation, so that columns of any size keep their digits. With
``task.privacy`` there is one sum, of rows: columns are standardised by the agreed ranges, which say nothing about any row. If the
run finds quantiles, this follows.
"""

from __future__ import annotations

import numpy as np

from tombolo.fl_tasks.learning.horizontal.columns import ClientRows, Floats, ForeignStatistics, Statistics, expanded, raw
from tombolo.fl_tasks.learning.horizontal.quantiles import aggregate_quartiles, client_quartiles, wanted
from tombolo.fl_tasks.learning.horizontal.state import STATISTICS
from tombolo.fl_tasks.learning.horizontal.sums import Attendance, contribute_values, sum_values, told
from tombolo.fl_tasks.learning.terms import PrivacyTerms
from tombolo.fl_tasks.learning.vertical.rows import BatchTooSmall
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.runtime.state import RunState


def client_statistics(session: Session, rows: ClientRows) -> Statistics:
    """A client's part; returns the statistics over the rows of all clients. Raises ForeignStatistics and what sums raise."""
    statistics = session.state.get(STATISTICS)
    if statistics is None and session.terms.task.optional(PrivacyTerms) is not None:
        session.within(0)
        contribute_values(session, [len(rows.labels)])
        statistics = _keep_ranges(session, told(session, 1)[0])
    if statistics is None:
        x = raw(session.terms, rows.table)
        if session.terms.task.outcome == "number":
            x = np.column_stack([x, rows.labels])
        count, there = x.shape[1], ~np.isnan(x)
        session.within(0)
        contribute_values(session, np.concatenate([[len(x)], there.sum(axis=0), np.nansum(x, axis=0)]))
        sums = told(session, 1 + 2 * count)
        total, present, mean = sums[0], sums[1 : 1 + count], sums[1 + count :]
        off = np.where(there, x - mean, 0.0)
        session.within(1)
        contribute_values(session, np.abs(off).sum(axis=0))
        unit = told(session, count)
        session.within(2)
        contribute_values(session, ((off / np.where(unit > 0, unit, 1.0)) ** 2).sum(axis=0))
        statistics = _keep(session, total, present, mean, told(session, count))
    if wanted(session.terms):
        client_quartiles(session, rows, statistics)
    return statistics


def aggregate_statistics(session: Session, attendance: Attendance) -> Statistics:
    """The aggregator's part. Raises what sums raise."""
    statistics = session.state.get(STATISTICS)
    if statistics is None and session.terms.task.optional(PrivacyTerms) is not None:
        session.within(0)
        total = sum_values(session, 1, attendance)
        session.send("statistic", value=total)
        statistics = _keep_ranges(session, total[0])
    if statistics is None:
        count = len(expanded(session.terms)) + (session.terms.task.outcome == "number")
        session.within(0)
        sums = sum_values(session, 1 + 2 * count, attendance)
        total, present = sums[0], np.maximum(sums[1 : 1 + count], 1.0)
        mean = sums[1 + count :] / present
        session.send("statistic", value=np.concatenate([[total], present, mean]))
        session.within(1)
        unit = sum_values(session, count, attendance) / present
        session.send("statistic", value=unit)
        session.within(2)
        squares = sum_values(session, count, attendance)
        scale = unit * np.sqrt(np.maximum(squares, 0.0) / max(total, 1.0))
        session.send("statistic", value=scale)
        statistics = _keep(session, total, present, mean, scale)
    if wanted(session.terms):
        aggregate_quartiles(session, attendance, statistics)
    return statistics


def statistics_of(training: RunState) -> Statistics:
    """The statistics that a training stage keeps. Raises :class:`ForeignStatistics` if there are none."""
    statistics = training.get(STATISTICS)
    if statistics is None:
        raise ForeignStatistics("No statistics are kept.")
    return statistics


def enough_rows(session: Session, found: Statistics, per_column: int = 10) -> None:
    """Raise :class:`BatchTooSmall` for sums over too few rows in all, or for a model with a weight per column."""
    least = max(session.terms.limits.minimum_batch, per_column * len(found.mean))
    if found.rows < least - 0.5:
        raise BatchTooSmall(f"{found.rows:.0f} rows in all; at least {least} are needed.", party=session.me)


def _keep_ranges(session: Session, rows: float) -> Statistics:
    """The agreed ranges in place of statistics: their middle for the mean, half their width for the deviation."""
    task = session.terms.task
    assert task.horizontal_terms is not None
    ranges: list[tuple[float, float]] = []
    for column in task.horizontal_terms.features.values():
        ranges += [column.range or (0.0, 1.0)] if column.levels is None else [(0.0, 1.0)] * len(column.levels)
    if task.outcome == "number":
        ranges.append((task.label and task.label.range) or (0.0, 1.0))
    low, high = np.array(ranges).T
    return _keep(session, rows, np.full(len(low), rows), (low + high) / 2, (high - low) / 2)


def _keep(session: Session, rows: float, present: Floats, mean: Floats, scale: Floats) -> Statistics:
    """Keep the statistics for the later legs of training. If a number is predicted, the last values are those of the label."""
    session.within(None)
    if session.terms.task.outcome != "number":
        statistics = Statistics(rows, present, mean, scale)
    else:
        label = float(mean[-1]), float(scale[-1]) or 1.0
        statistics = Statistics(rows, present[:-1], mean[:-1], scale[:-1], *label)
    return session.state.keep(STATISTICS, statistics)
