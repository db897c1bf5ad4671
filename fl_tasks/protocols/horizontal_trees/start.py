"""Before the first tree: common cuts from the summed histograms of the clients, and the margin that training starts from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.learning.horizontal.columns import (
    ClientRows,
    Floats,
    ForeignStatistics,
    ForeignSums,
    Statistics,
    expanded,
    filled,
)
from tombolo.fl_tasks.learning.horizontal.quantiles import histograms_of, numbers, packed, quartiles_of, unpacked
from tombolo.fl_tasks.learning.horizontal.statistics import aggregate_statistics, client_statistics, enough_rows
from tombolo.fl_tasks.learning.horizontal.sums import Attendance, contribute_integers, sum_integers
from tombolo.fl_tasks.learning.parameters import Boosted
from tombolo.fl_tasks.learning.trees.bins import Binner
from tombolo.fl_tasks.learning.trees.boosting import Plan
from tombolo.fl_tasks.learning.trees.tree import Bools
from tombolo.fl_tasks.learning.vertical.rows import BadLabel
from tombolo.fl_tasks.protocols.horizontal_trees.messages import Start, units
from tombolo.fl_tasks.protocols.horizontal_trees.state import START, VALIDATION
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.runtime.state import RunState
from tombolo.fl_tasks.tables.encoding import NoColumns

_LARGEST = 1 << 26


def client_start(session: Session, rows: ClientRows, plan: Plan) -> tuple[Start, Bools]:
    """The part of a client. Also returns which rows are training rows. Raises ForeignStatistics, BadLabel, and errors of sums."""
    statistics = client_statistics(session, rows)
    enough_rows(session, statistics, per_column=0)
    classes = _classes(plan)
    if not np.isfinite(rows.labels).all() or (classes and not np.isin(rows.labels, np.arange(classes)).all()):
        raise BadLabel(party=session.me)
    seed = session.state.keep(VALIDATION, session.prf("validation").derive("rows"))
    learning = plan.learning_rows(len(rows.labels), Prf(seed))
    stored = session.state.get(START)
    if stored is None:
        session.enter(0)
        session.within(5)
        if classes:
            contribute_integers(session, np.bincount(rows.labels[learning].astype(np.int64), minlength=classes))
        columns, most = len(numbers(session.terms)), max(plan.outputs, session.parameters(Boosted).bins - 1)
        base, *cuts = unpacked(session, 1 + columns, most)
        session.within(None)
        if len(base) != plan.outputs or any((np.diff(edges) <= 0).any() for edges in cuts):
            raise ForeignStatistics(
                "The cuts of a column do not rise, or the first margin has a wrong length.", party=session.aggregator
            )
        stored = _keep(session, binner(session, statistics, cuts), base)
    return _start(stored, plan, statistics), learning


def aggregate_start(session: Session, attendance: Attendance, plan: Plan) -> Start:
    """The part of the aggregator. Raises the errors of sums."""
    statistics = aggregate_statistics(session, attendance)
    enough_rows(session, statistics, per_column=0)
    stored, classes = session.state.get(START), _classes(plan)
    if stored is None:
        session.enter(0)
        session.within(5)
        base = np.array([statistics.label_mean])
        if classes:
            counts = sum_integers(session, classes, attendance).astype(np.float64)
            if (counts < 0).any() or not counts.any():
                raise ForeignSums("The sums are the numbers of rows of each class.", party=session.me)
            base = plan.objective.base(np.arange(classes, dtype=np.float64), counts, plan.outputs)
        bins, least = session.parameters(Boosted).bins, session.terms.limits.minimum_bin_rows
        cuts = [histogram.cuts(bins, least) for histogram in histograms_of(session.state)]
        session.send("statistic", value=packed([base, *cuts]))
        session.within(None)
        stored = _keep(session, binner(session, statistics, [np.array(edges) for edges in cuts]), base)
    return _start(stored, plan, statistics)


def binner_of(training: RunState) -> Binner:
    """The common bins that a training stage has kept. Raises :class:`ForeignStatistics` if there are none."""
    stored = training.get(START)
    if stored is None:
        raise ForeignStatistics("No bins are kept for this run.")
    return Binner.from_document(stored["binner"])


def binner(session: Session, found: Statistics, cuts: Sequence[Floats]) -> Binner:
    """The common bins, the same at every party. Missing values have a bin of their own if there are enough of them; otherwise they
    go to the bin of the median. Columns with a single bin are left out. Raises :class:`NoColumns`."""
    terms, least = session.terms, session.terms.limits.minimum_bin_rows
    by_column = dict(zip(numbers(terms), cuts, strict=True))
    assert terms.task.horizontal_terms is not None
    features, quartiles = terms.task.horizontal_terms.features, quartiles_of(session.state)
    kept: list[tuple[str, tuple[float, ...], int, bool]] = []
    for at, (name, level) in enumerate(expanded(terms)):
        if level:
            ones = round(found.mean[at] * found.rows)
            own, absent = False, 0
            edges = (0.0,) if min(ones, round(found.rows) - ones) >= least else ()
        else:
            lacking = round(found.rows - found.present[at]) if features[name].missing == "level" else 0
            own, edges, middle = lacking >= max(1, least), tuple(by_column[at].tolist()), quartiles[name][1:2]
            median = middle[0].value if middle else found.mean[at]
            absent = (
                0 if own or features[name].missing != "level" else int(np.searchsorted(np.array(edges), median, side="left")) + 1
            )
        if edges or own:
            kept.append((name, edges, absent, own))
    if not kept:
        raise NoColumns(f"None of {len(features)} columns has two bins.")
    names, all_cuts, places, missing = zip(*kept, strict=True)
    return Binner(filled(terms, found), names, all_cuts, places, missing)


def _classes(plan: Plan) -> int:
    """How many classes the label has; 0 if the label is a number."""
    return 0 if plan.objective.name == "squared" else max(2, plan.outputs)


def _keep(session: Session, common: Binner, base: Floats) -> dict[str, Any]:
    return session.state.keep(START, {"binner": common.to_document(), "base": base.tolist()})


def _start(stored: dict[str, Any], plan: Plan, statistics: Statistics) -> Start:
    return Start(Binner.from_document(stored["binner"]), np.array(stored["base"]), units(plan, statistics.label_scale))
