"""What comes before the first tree: common cuts from the clients' summed histograms, and the margin that training starts from."""

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
from tombolo.fl_tasks.learning.horizontal.sums import Attendance, contribute_integers, sum_integers, told
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
    """A client's part; also which of its rows are learnt from. Raises ForeignStatistics, BadLabel, and what sums raise."""
    found = client_statistics(session, rows)
    enough_rows(session, found, per_column=0)
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
        base, *cuts = unpacked(session, told(session), 1 + columns, most)
        session.within(None)
        if len(base) != plan.outputs or any((np.diff(one) <= 0).any() for one in cuts):
            raise ForeignStatistics("Cuts of a column.", party=session.aggregator)
        stored = _keep(session, binner(session, found, cuts), base)
    return _start(stored, plan, found), learning


def aggregate_start(session: Session, attendance: Attendance, plan: Plan) -> Start:
    """The aggregator's part. Raises what sums raise."""
    found = aggregate_statistics(session, attendance)
    enough_rows(session, found, per_column=0)
    stored, classes = session.state.get(START), _classes(plan)
    if stored is None:
        session.enter(0)
        session.within(5)
        base = np.array([found.label_mean])
        if classes:
            counts = sum_integers(session, classes, attendance).astype(np.float64)
            if (counts < 0).any() or not counts.any():
                raise ForeignSums("Of classes.", party=session.me)
            base = plan.objective.base(np.arange(classes, dtype=np.float64), counts, plan.outputs)
        bins, least = session.parameters(Boosted).bins, session.terms.limits.minimum_bin_rows
        cuts = [one.cuts(bins, least) for one in histograms_of(session.state)]
        session.send("statistic", value=packed([base, *cuts]))
        session.within(None)
        stored = _keep(session, binner(session, found, [np.array(one) for one in cuts]), base)
    return _start(stored, plan, found)


def binner_of(training: RunState) -> Binner:
    """The common bins that a training stage keeps. Raises :class:`ForeignStatistics` where nothing is kept."""
    stored = training.get(START)
    if stored is None:
        raise ForeignStatistics("There are no bins.")
    return Binner.from_document(stored["binner"])


def binner(session: Session, found: Statistics, cuts: Sequence[Floats]) -> Binner:
    """The same at every party: missing values have a bin of their own where there are enough of them; otherwise they go to the
    median's. Columns of a single bin are left out. Raises :class:`NoColumns`."""
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
        raise NoColumns(f"Of {len(features)} columns.")
    names, all_cuts, places, missing = zip(*kept, strict=True)
    return Binner(filled(terms, found), names, all_cuts, places, missing)


def _classes(plan: Plan) -> int:
    """How many classes the label has; none of a number."""
    return 0 if plan.objective.name == "squared" else max(2, plan.outputs)


def _keep(session: Session, found: Binner, base: Floats) -> dict[str, Any]:
    return session.state.keep(START, {"binner": found.to_document(), "base": base.tolist()})


def _start(stored: dict[str, Any], plan: Plan, found: Statistics) -> Start:
    return Start(Binner.from_document(stored["binner"]), np.array(stored["base"]), units(plan, found.label_scale))
